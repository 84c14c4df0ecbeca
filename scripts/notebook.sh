#!/bin/sh
# Executes notebook/findings.ipynb on a small demo, in a venv of its own, and fails
# where a cell does. With --update it runs the demo at its usual size and writes
# the pictures of docs/queries.md anew. Needs make build engine, and python3.
set -eu

cd "$(dirname "$0")/.."
scale=0.0005
if [ "${1:-}" = --update ]; then
	scale=0.005
	export OVERREACH_PICTURES="$PWD/docs"
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
	{ echo "notebook: python3 of version 3.11 or later is not here" >&2; exit 1; }
venv=.tools/notebook
if ! cmp -s notebook/requirements.txt "$venv/ready"; then
	rm -rf "$venv"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r notebook/requirements.txt
	cp notebook/requirements.txt "$venv/ready"
fi

dir=$(mktemp -d)
served=
finish() {
	if [ -n "$served" ]; then
		kill "$served" 2>/dev/null || true
		wait "$served" || true
	fi
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

export OVERREACH_DATA="$dir/demo"
bin/overreach demo --dir "$OVERREACH_DATA" --scale $scale --serve >"$dir/found" 2>"$dir/log" &
served=$!
until grep -q 'ClickHouse is up' "$dir/log"; do
	kill -0 "$served" 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
	sleep 0.1
done

# What Jupyter keeps in HOME is of no use afterwards; matplotlib's list of fonts is.
HOME="$dir" MPLCONFIGDIR="$PWD/$venv/matplotlib" "$venv/bin/python" - "$dir/executed.ipynb" <<'PYTHON'
import sys

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient

notebook = nbformat.read("notebook/findings.ipynb", as_version=4)
assert all(not cell.get("outputs") for cell in notebook.cells), "commit the notebook without outputs"
kernel = KernelManager(kernel_name="python3", transport="ipc", ip=sys.argv[1] + "-kernel")
NotebookClient(notebook, km=kernel, timeout=120, resources={"metadata": {"path": "notebook"}}).execute()
kernel.shutdown_kernel(now=True)
nbformat.write(notebook, sys.argv[1])
pictures = sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
assert pictures == 3, f"the notebook drew {pictures} pictures, expected 3"
print(f"notebook: {len(notebook.cells)} cells ran, {pictures} pictures were drawn")
PYTHON
