"""Reads the findings that run printed with clickhouse-connect: findings.py DSN FILE."""

import json
import sys

import clickhouse_connect

with open(sys.argv[2]) as file:
    printed = {f["id"]: (f["partner"], f["people"], f["sentence"]) for f in map(json.loads, file)}

client = clickhouse_connect.get_client(dsn=sys.argv[1])
rows = client.query("SELECT id, partner, people, sentence FROM findings").result_rows
read = {row[0]: tuple(row[1:]) for row in rows}
assert printed and read == printed, f"the client reads {read}, run printed {printed}"
everything = client.query("SELECT * FROM findings")
assert len(everything.result_rows) == len(printed) and len(everything.column_names) > 40
of = client.query("SELECT count() FROM findings WHERE partner = {p:String}", parameters={"p": rows[0][1]}).result_rows
assert of[0][0] >= 1
print(f"clickhouse-connect {clickhouse_connect.__version__} reads the {len(read)} findings that run printed")
