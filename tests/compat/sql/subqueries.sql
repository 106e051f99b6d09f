-- Subqueries: IN and NOT IN with nulls, correlated ones, aggregates for all outer values at once.
CREATE TABLE outer_rows (id int PRIMARY KEY, k int, d numeric);
CREATE TABLE inner_rows (k int, v int, d numeric);
INSERT INTO outer_rows SELECT i, CASE WHEN i % 7 = 0 THEN NULL ELSE i % 5 END, i FROM generate_series(1, 40) i;
INSERT INTO inner_rows SELECT i % 4, i, i FROM generate_series(1, 20) i;
INSERT INTO inner_rows VALUES (NULL, 100, 1.0), (3, NULL, 1.00);
-- Lists with and without nulls.
SELECT count(*) FROM outer_rows WHERE k IN (SELECT k FROM inner_rows);
SELECT count(*) FROM outer_rows WHERE k NOT IN (SELECT k FROM inner_rows);
SELECT count(*) FROM outer_rows WHERE k NOT IN (SELECT k FROM inner_rows WHERE k IS NOT NULL);
SELECT count(*) FROM outer_rows WHERE k NOT IN (SELECT k FROM inner_rows WHERE v > 1000);
SELECT id, k IN (SELECT k FROM inner_rows) AS is_in FROM outer_rows WHERE id < 8 ORDER BY id;
SELECT id, (k, id) IN (SELECT k, v FROM inner_rows) AS is_in FROM outer_rows WHERE id < 8 ORDER BY id;
SELECT id, k <> ALL (SELECT k FROM inner_rows WHERE k > 1) AS is_out FROM outer_rows WHERE id < 8 ORDER BY id;
SELECT id FROM outer_rows WHERE d IN (SELECT v FROM inner_rows) AND id % 3 = 0 ORDER BY id;
-- Aggregates of what belongs to the row: more rows than are asked for one by one.
SELECT id, (SELECT sum(v) FROM inner_rows i WHERE i.k = o.k) FROM outer_rows o WHERE id <= 12 ORDER BY id;
SELECT id, (SELECT count(*) FROM inner_rows i WHERE i.k = o.k AND i.v > 5) FROM outer_rows o WHERE id <= 20 ORDER BY id;
SELECT id, (SELECT count(*) + 1 FROM inner_rows i WHERE o.k = i.k AND i.d = o.d) FROM outer_rows o WHERE id <= 12 ORDER BY id;
SELECT count(*) FROM outer_rows o WHERE d > (SELECT avg(v) FROM inner_rows i WHERE i.k = o.k);
-- An error of a group that nobody asks for is none.
SELECT id, (SELECT max(1 / (i.k - 3)) FROM inner_rows i WHERE i.k = o.k) FROM outer_rows o WHERE k < 3 ORDER BY id;
SELECT id, (SELECT max(1 / (i.k - 3)) FROM inner_rows i WHERE i.k = o.k) FROM outer_rows o ORDER BY id;
-- Equal values that look different are asked for one by one.
SELECT (SELECT x.n::text || max(i.v) FROM inner_rows i WHERE i.d = 1) FROM (VALUES (1.0), (1.00), (1.0)) x(n);
-- EXISTS
SELECT count(*) FROM outer_rows o WHERE EXISTS (SELECT FROM inner_rows i WHERE i.k = o.k);
SELECT count(*) FROM outer_rows o WHERE NOT EXISTS (SELECT FROM inner_rows i WHERE i.k = o.k);
SELECT count(*) FROM outer_rows o WHERE NOT EXISTS (SELECT FROM inner_rows i WHERE i.k = o.k AND i.v > o.id);
SELECT count(*) FROM outer_rows o, inner_rows p WHERE o.k = p.k AND EXISTS (SELECT FROM inner_rows i WHERE i.k = o.k AND i.v <> p.v);
SELECT id, EXISTS (SELECT FROM inner_rows i WHERE i.v = o.id AND i.k <> o.k) FROM outer_rows o WHERE id < 6 ORDER BY id;
-- What is kept of a list of WITH is of its row.
SELECT x.a, (WITH c AS MATERIALIZED (SELECT x.a) SELECT (SELECT count(*) FROM c WHERE c.a = 1)) FROM (VALUES (1), (2), (1)) x(a);
SELECT x.a, (WITH c AS MATERIALIZED (SELECT x.a FROM generate_series(1, 5)) SELECT 1 IN (SELECT a FROM c)) FROM (VALUES (1), (2), (1)) x(a);
-- More than one row.
SELECT (SELECT v FROM inner_rows i WHERE i.k = o.k) FROM outer_rows o;
DROP TABLE outer_rows, inner_rows;
