-- FOR UPDATE and its like, by one session.
create table rl (a int primary key, b int);
insert into rl values (1, 10), (2, 20), (3, 30);
begin;
select * from rl where a = 1 for update;
select * from rl order by a desc for no key update nowait;
select a from rl order by a limit 1 offset 1 for share skip locked;
select t.a, u.b from rl t join rl u on t.a = u.a + 1 order by 1 for key share of t;
select count(*) from rl t left join rl u on u.a = t.a + 1 for update;
select t.a, u.a from rl t left join rl u on u.a = t.a + 1 order by 1 for update of t;
rollback;
select distinct b from rl for update;
select b, count(*) from rl group by b for update;
select a from rl union select 1 for update;
select a from rl for update of nosuch;
values (1) for update;
select row_number() over () from rl for share;
drop table rl;
