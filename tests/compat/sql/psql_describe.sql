-- psql's backslash commands over a schema with everything they show.
CREATE SCHEMA shop;
COMMENT ON SCHEMA shop IS 'everything sold';
CREATE TABLE shop.customer (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name varchar(40) NOT NULL,
    email text UNIQUE,
    credit numeric(10,2) NOT NULL DEFAULT 0 CHECK (credit >= 0),
    active boolean DEFAULT true,
    note text DEFAULT 'none',
    level smallint CHECK (level BETWEEN 1 AND 5),
    kind varchar(10) DEFAULT 'plain' CHECK (kind IN ('plain', 'gold')),
    CONSTRAINT name_not_empty CHECK (name <> '')
);
COMMENT ON TABLE shop.customer IS 'who buys';
COMMENT ON COLUMN shop.customer.email IS 'where bills go';
CREATE TABLE shop.orders (
    id serial PRIMARY KEY,
    customer integer NOT NULL REFERENCES shop.customer (id) ON DELETE CASCADE,
    total numeric(12,2),
    tags text[],
    doubled numeric GENERATED ALWAYS AS (total * 2) STORED
);
CREATE INDEX orders_customer ON shop.orders (customer, total DESC);
CREATE UNIQUE INDEX orders_total ON shop.orders (total) WHERE total > 100;
CREATE INDEX customer_lower ON shop.customer (lower(name));
CREATE SEQUENCE shop.counter START 5 INCREMENT BY 3 MAXVALUE 100 CYCLE;
SET search_path = shop, public;
\d
\d customer
\d orders
\d counter
\d orders_customer
\d orders_total
\d orders_id_seq
\d+ customer
\d+ orders
\d+ orders_total
\dt
\dt shop.*
\di
\ds
\dt nosuch
\dD
\df repeat
\x
\d shop.orders
\x
-- Definitions with all their parentheses, and without.
SELECT conname, pg_get_constraintdef(oid), pg_get_constraintdef(oid, true)
FROM pg_constraint WHERE connamespace = 'shop'::regnamespace ORDER BY 1;
SELECT indexrelid::regclass, pg_get_indexdef(indexrelid), indkey, indoption
FROM pg_index WHERE indrelid IN ('customer'::regclass, 'orders'::regclass)
ORDER BY indexrelid::regclass::text;
SELECT adrelid::regclass, adnum, pg_get_expr(adbin, adrelid) FROM pg_attrdef
WHERE adrelid IN ('customer'::regclass, 'orders'::regclass)
ORDER BY adrelid::regclass::text, 2;
SELECT attname, atttypid::regtype, format_type(atttypid, atttypmod), attnotnull, atthasdef,
    attidentity, attgenerated
FROM pg_attribute WHERE attrelid = 'customer'::regclass AND attnum > 0 ORDER BY attnum;
SELECT table_name, column_name, ordinal_position, is_nullable, data_type,
    character_maximum_length, numeric_precision, numeric_scale, udt_name, is_identity
FROM information_schema.columns WHERE table_schema = 'shop' ORDER BY 1, 3;
SELECT constraint_name, table_name, constraint_type FROM information_schema.table_constraints
WHERE table_schema = 'shop' AND constraint_name NOT LIKE '%not_null' ORDER BY 1;
SELECT constraint_name, table_name, column_name, ordinal_position, position_in_unique_constraint
FROM information_schema.key_column_usage WHERE table_schema = 'shop' ORDER BY 1, 4;
SELECT constraint_name, unique_constraint_name, match_option, update_rule, delete_rule
FROM information_schema.referential_constraints WHERE constraint_schema = 'shop';
SELECT 'int4'::regtype, 'integer[]'::regtype, 'pg_class'::regclass::oid, 1259::regclass,
    'pg_catalog'::regnamespace::oid, 'now'::regproc, 'lower(text)'::regprocedure;
SELECT to_regclass('nosuch'), to_regtype('nosuch'), to_regclass('pg_type');
SELECT 'nosuch'::regclass;
SELECT 'nosuch.t'::regclass;
SELECT pg_get_serial_sequence('orders', 'id'), pg_table_is_visible('orders'::regclass);
SELECT obj_description('customer'::regclass, 'pg_class'), col_description('customer'::regclass, 3);
SELECT current_schema(), current_schemas(true);
SELECT pg_size_pretty(10::bigint), pg_size_pretty(123456789::bigint), pg_size_pretty(-20000::bigint);
SELECT oid, proname, prokind, proargtypes, prorettype::regtype FROM pg_proc
WHERE proname IN ('abs', 'sum') AND prorettype IN (20, 23, 1700) ORDER BY oid;
SELECT oid, oprname, oprleft::regtype, oprright::regtype, oprcode FROM pg_operator
WHERE oprname = '||' AND oprleft = 25 AND oprright = 25;
