"""Runs the statements with a Python client: clients.py CLIENT HOST PORT PASSWORD STATEMENTS."""

import re
import sys

client_name, host, port, password, file = sys.argv[1:]
if client_name == "clickhouse-connect":
    import clickhouse_connect

    client = clickhouse_connect.get_client(host=host, port=int(port), password=password)
    kinds = {"all", "binary", "session"}

    def run(statement):
        if statement.startswith(("SELECT", "WITH")):
            return client.query(statement).result_rows
        client.command(statement)
        return []
else:
    from clickhouse_driver import Client

    client = Client(host=host, port=int(port), password=password)
    kinds = {"all", "binary", "native"}

    def run(statement):
        if statement.startswith(("SELECT", "WITH")):
            return client.query_dataframe(statement).values.tolist()
        client.execute(statement)
        return []


def answer(statement):
    try:
        return ";".join(",".join(str(value) for value in row) for row in run(statement))
    except Exception as error:
        code = re.search(r"[Cc]ode: (\d+)", str(error))
        return f"error {code[1]}" if code else f"error {error!r}"


for line in open(file):
    kind, statement, _ = line.rstrip("\n").split("\t")
    if kind in kinds:
        print(statement, answer(statement), sep="\t", flush=True)
