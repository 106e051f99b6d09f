#!/usr/bin/python3
"""Generated expressions over arrays and JSON, asked of Orbit and of PostgreSQL 15.

usage: generated.py ORBIT_DSN POSTGRESQL_DSN [SEED [COUNT]]

Results (as text) and errors (SQLSTATE, message, detail, hint, context) must be equal. Prints what
differs, at most SHOWN_MAX of it, and a last line with the counts; exits 1 when anything differs.
"""

import random
import sys

import psycopg2

SHOWN_MAX = 25
SCALARS = ["null", "true", "false", "0", "-1", "1.50", "1e3", '"a"', '"b"', '""', '"a\\"q"',
           '"\\u00e9"', "123456789012345678901234567890", "-0.0", "2"]
KEYS = ["a", "b", "c", "aa", "", "1"]
STEPS = ["a", "b", "0", "1", "-1", "aa", "NULL", "x"]
NOISE = '{}[],:"\\1a e-'


def json_text(draw, depth=0):
    kind = draw.random()
    if depth > 2 or kind < 0.45:
        return draw.choice(SCALARS)
    count = range(draw.randint(0, 3))
    if kind < 0.72:
        return "[" + draw.choice([",", ", "]).join(json_text(draw, depth + 1) for _ in count) + "]"
    return "{" + ", ".join('"%s"%s%s' % (draw.choice(KEYS), draw.choice([":", ": "]),
                                         json_text(draw, depth + 1)) for _ in count) + "}"


def array_text(draw):
    def row(size):
        return "{" + ",".join(draw.choice(["1", "2", "-3", "NULL", "7"]) for _ in range(size)) + "}"

    kind = draw.random()
    if kind < 0.1:
        return "{}"
    if kind < 0.7:
        return row(draw.randint(1, 4))
    if kind < 0.8:
        return "[-1:1]=" + row(3)
    size = draw.randint(1, 3)
    return "{" + ",".join(row(size) for _ in range(draw.randint(1, 3))) + "}"


def damaged(draw, text):
    letters = list(text)
    for _ in range(draw.randint(1, 2)):
        if letters and draw.random() < 0.5:
            letters.pop(draw.randrange(len(letters)))
        else:
            letters.insert(draw.randint(0, len(letters)), draw.choice(NOISE))
    return "".join(letters)


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


# {t}: json or jsonb, {j} a value of it; {b} {c}: jsonb; {a} {d}: int[]; {i} {k}: numbers;
# {p}: a path; {s}: a key; {f}: a boolean; {x} {y}: damaged text.
EXPRESSIONS = """
    {j} | {x}::{t} | {j} -> {s} | {j} ->> {s} | {j} -> {i} | {j} ->> {i} | {j} #> {p} | {j} #>> {p}
    {b} @> {c} | {b} <@ {c} | {b} || {c} | {b} - {s}::text | {b} - ({i}) | {b} #- {p}
    jsonb_set({b},{p},{c},{f}) | jsonb_insert({b},{p},{c},{f}) | {b} < {c} | {b} = {c} | {b} ? {s}
    jsonb_pretty({b}) | {t}_typeof({j}) | {t}_strip_nulls({j}) | {t}_array_length({j})
    array(select v::text from {t}_array_elements({j}) v) | array(select {t}_object_keys({j}))
    array(select key || '=' || coalesce(value, '*') from {t}_each_text({j})) | to_jsonb({a})
    array_to_json({a},true) | ({b})['a'][{i}] | {a} | {y}::int[] | {a} || {d} | {a} || {i}
    {i} || {a} | ({a})[{i}] | ({a})[{i}:{k}] | ({a})[{i}][{k}] | ({a})[{i}:][:{k}] | {a} @> {d}
    {a} && {d} | {a} < {d} | {a} = {d} | array_remove({a},{i}) | array_replace({a},{i},99)
    array_position({a},{i}) | array_positions({a},{i}) | array_dims({a}) | array_length({a},{i})
    {i} = any({a}) | {i} < all({a}) | array_to_string({a},',','*') | trim_array({a},{i})
    array[{a},{d}] | array(select unnest({a})) | {a}::text[] | array_upper({a},{i})
    cardinality({a})
"""
TEMPLATES = [part.strip() for line in EXPRESSIONS.strip().splitlines()
             for part in line.split(" | ")]


def expression(draw):
    kind = draw.choice(["json", "jsonb"])
    return draw.choice(TEMPLATES).format(
        t=kind, j=quoted(json_text(draw)) + "::" + kind, b=quoted(json_text(draw)) + "::jsonb",
        c=quoted(json_text(draw)) + "::jsonb", a=quoted(array_text(draw)) + "::int[]",
        d=quoted(array_text(draw)) + "::int[]", i=draw.randint(-3, 4), k=draw.randint(-2, 4),
        p=quoted("{" + ",".join(draw.choice(STEPS) for _ in range(draw.randint(0, 3))) + "}"),
        s=quoted(draw.choice(KEYS)), f=draw.choice(["true", "false"]),
        x=quoted(damaged(draw, json_text(draw))), y=quoted(damaged(draw, array_text(draw))))


def answer(cursor, text):
    try:
        cursor.execute(text)
        return cursor.fetchall()
    except psycopg2.Error as error:
        said = error.diag
        return (said.sqlstate, said.message_primary, said.message_detail, said.message_hint,
                said.context)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    draw = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 3000
    cursors = []
    for dsn in sys.argv[1:3]:
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        cursors.append(connection.cursor())
    errors = different = 0
    for _ in range(count):
        text = f"select ({expression(draw)})::text"
        ours, theirs = (answer(cursor, text) for cursor in cursors)
        errors += isinstance(theirs, tuple)
        if ours != theirs:
            different += 1
            if different <= SHOWN_MAX:
                print(f"{text}\n  orbit      {ours}\n  postgresql {theirs}")
    print(f"{count} statements, {errors} errors, {different} different")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
