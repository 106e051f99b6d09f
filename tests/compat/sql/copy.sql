-- COPY from the client and to it: formats, options, errors with their place.
create table c1 (a int primary key, b text, c numeric(6,2) default 1.5);
copy c1 from stdin;
1	one	1.25
2	\N	\N
3	tab\there\\	3
4	line\nbreak	4.444
\.
select * from c1 order by a;
copy c1 to stdout;
copy c1 (b, a) to stdout;
copy c1 (a, b) from stdin with (format csv, header);
a,b
5,"quoted ""text"", with comma"
6,
7,""
8,"two
lines"
\.
select a, b, b is null as is_null, c from c1 where a > 4 order by a;
copy c1 to stdout with (format csv, header, null 'NULL');
copy c1 to stdout csv force quote b;
copy c1 to stdout (format csv, force_quote *, delimiter '|', quote '''');
copy (select a, b from c1 where a < 3 order by a desc) to stdout delimiter ';' null '?';
copy (insert into c1 values (9, 'nine') returning a, c) to stdout;
copy (delete from c1 where a = 9) to stdout;
-- errors
copy c1 from stdin;
10	x	not a number
\.
copy c1 from stdin;
10	x
\.
copy c1 from stdin;
10	x	1	2
\.
copy c1 from stdin;
10	x	1
1	x	1
\.
copy c1 from stdin;
\N	x	1
\.
copy c1 from stdin;
11	abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz	99999
\.
copy c1 from stdin csv;
12,"open
\.
select count(*) from c1;
copy c1 (a, b) from stdin where a > 20 and b <> 'no';
20	yes
21	yes
22	no
23	yes
\.
select a, b from c1 where a >= 20 order by a;
copy c1 (a) from stdin with (format csv, header match);
b
30
\.
copy c1 (a) from stdin with (format csv, header match);
a
30
\.
copy c1 (a, b) from stdin with (format csv, force_null (b), force_not_null (b));
31,
\.
copy c1 (a, b) from stdin with (format csv, force_null (b), null 'nil', escape '\');
32,"nil"
33,nil
34,"a\"b"
\.
select a, b, b is null as is_null from c1 where a > 29 order by a;
copy c1 (a, b) from stdin (delimiter ',', null 'none');
35,\x41\102c
36,none
37,a\,b
\.
select a, b from c1 where a > 34 order by a;
-- options
copy c1 to stdout (format text, format csv);
copy c1 to stdout (format jsonl);
copy c1 to stdout (delimiter 'ab');
copy c1 to stdout (delimiter 'a');
copy c1 to stdout (format csv, delimiter '"');
copy c1 to stdout (quote '"');
copy c1 to stdout (format binary, delimiter ',');
copy c1 to stdout (format csv, force_not_null (a));
copy c1 from stdin (format csv, force_quote (a));
\.
copy c1 (a) to stdout (format csv, force_quote (b));
copy c1 to stdout (header match);
copy c1 to stdout (nonsense 1);
copy c1 (a, a) to stdout;
copy c1 (z) to stdout;
copy c2 to stdout;
create view cv as select a from c1;
copy cv to stdout;
copy (select a from cv where a < 3 order by a) to stdout;
begin;
copy c1 (a) from stdin;
100
101
\.
savepoint s;
copy c1 (a) from stdin;
102
100
\.
rollback to s;
select count(*) from c1 where a >= 100;
rollback;
select count(*) from c1 where a >= 100;
create table c3 (a int check (a > 0), b int not null default 7, c varchar(3));
copy c3 (a) from stdin;
1
2
\.
copy c3 (a) from stdin;
3
-1
\.
copy c3 (c) from stdin;
toolong
\.
copy c3 from stdin;
\.
select * from c3 order by a;
drop view cv;
drop table c1, c3;
