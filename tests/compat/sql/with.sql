-- WITH: kept and inlined queries, recursion, data-modifying items.
with a as (select 1 as x), b as (select x + 1 as y from a) select * from a, b;
with a(p, q) as (values (1, 'one'), (2, 'two')) select * from a x join a y on x.p = y.p order by 1;
with recursive t(n) as (values (1) union all select n + 1 from t where n < 100) select sum(n) from t;
with recursive t(n) as (select 1 union select 10 - n from t) select * from t;
with recursive t(n) as (select 1 union all select n + 1 from t) select * from t limit 5;
with recursive t(n) as (select '1' union all select n + 1 from t where n < 3) select * from t;
with recursive t(n) as (select 1 union all select 1.5 + n from t where n < 3) select * from t;
create table wd (id int primary key, parent int, name text);
insert into wd values (0, null, 'root'), (1, 0, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, 2, 'd'), (5, 0, 'e');
with recursive sub as (
    select * from wd where name = 'a'
    union all
    select d.* from wd d, sub s where d.parent = s.id
) select * from sub order by name;
with recursive sub(level, id, name) as (
    select 1, id, name from wd where parent is null
    union all
    select s.level + 1, d.id, d.name from wd d join sub s on d.parent = s.id
) select * from sub order by level, id;
with recursive y(id) as (select * from x union all select id + 10 from y where id < 30), x(id) as (values (1)) select * from y;
with recursive x(id) as (select 1 union all select id from y), y(id) as (select 2 union all select id from x) select * from x;
with recursive x(n) as (select n from x) select * from x;
with recursive x(n) as (select n from x union all select 1) select * from x;
with recursive x(n) as (select 1 union all select n + 1 from x where n in (select * from x)) select * from x;
with recursive x(n) as (select 1 union all select x.n from x, x y) select * from x;
with recursive x(n) as (select 1 intersect select n + 1 from x) select * from x;
with recursive x(n) as (select 1 union all (select n from wd left join x on id = n)) select * from x;
with recursive x(n) as (select 1 union all select n + 1 from x order by 1) select * from x;
with recursive x(n) as (select 1 union all select n + 1 from x limit 10) select * from x;
with q as (select 1), q as (select 2) select * from q;
with q(a, b) as (select 1) select * from q;
with q as materialized (select id from wd) select count(*) from q a, q b;
with q as not materialized (select id from wd) select count(*) from q a, q b;
select (with w as (select d.id + 1 as v) select sum(v) from (select * from w union all select * from w) s) from wd d order by 1;
select d.id, (with recursive up(i, p) as (select d.id, d.parent union all select w.id, w.parent from wd w join up on w.id = up.p) select count(*) from up) from wd d order by 1;
create table wlog (id int, what text);
with del as (delete from wd where id = 5 returning *) insert into wlog select id, 'deleted ' || name from del returning *;
with ins as (insert into wd values (6, 0, 'f'), (7, 6, 'g') returning id) select sum(id), count(*) from ins;
with up as (update wd set name = upper(name) where id in (6, 7) returning *), other as (select count(*) as n from wd) select up.*, n from up, other order by 1;
with silent as (delete from wlog) select count(*) from wlog;
select count(*) from wlog;
with x as (insert into wlog values (9, 'nine')) select * from x;
select (with x as (insert into wlog values (9, 'nine') returning 1) select count(*) from x);
with src as (select 8 as id) insert into wd select id, 0, 'h' from src;
with gone as (values (8)) delete from wd using gone where wd.id = gone.column1 returning wd.*;
with new(id, name) as (values (1, 'A')) update wd set name = new.name from new where wd.id = new.id returning wd.*;
with two as (insert into wd values (20, 0, 'x') returning id) insert into wd select 20, 0, 'y' from two;
with a as (insert into wlog values (1, 'a') returning id), b as (insert into wlog select id + 1, 'b' from a returning id) select * from b;
select * from wlog order by 1;
with cte as (select id from wd where id < 3) insert into wlog values ((select max(id) from cte), 'max') returning *, (select count(*) from cte);
drop table wd; drop table wlog;
