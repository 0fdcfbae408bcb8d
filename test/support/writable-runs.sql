-- Makes the view muster.run writable, so that a test can put a run into any state: the set, its row in the queue and
-- its lease are changed to fit. A running run of an unknown worker has a lease of its own.
create schema test_support;
create function test_support.place_run() returns trigger language plpgsql as $$
declare
  -- an insert names no hash, a delete has only the old row
  r muster.run := case when tg_op = 'DELETE' then old else new end;
  hash uuid := muster.key_hash(r.key);
  queued boolean := r.state = 'ready';
begin
  insert into muster.sets as s (function, key_hash, key, counts, fresh, complete)
  values (r.function, hash, r.key, array_fill(0, array[16]), 0, false)
  on conflict do nothing;
  delete from muster.queue q where q.function = r.function and q.key_hash = hash;
  delete from muster.lease l where l.function = r.function and l.keys = array[hash];
  update muster.lease l
  set (keys, tokens, attempts, lates, starts) = (
    select array_agg(e.key_hash order by nth), array_agg(e.token order by nth), array_agg(e.attempt order by nth), array_agg(e.late order by nth), array_agg(e.start order by nth)
    from unnest(l.keys, l.tokens, l.attempts, l.lates, l.starts) with ordinality as e (key_hash, token, attempt, late, start, nth)
    where e.key_hash <> hash)
  where l.function = r.function and hash = any (l.keys);
  update muster.sets s
  set revision = coalesce(r.revision, 1), complete = coalesce(r.complete, true),
      state = case when tg_op = 'DELETE' then null when r.state in ('ready', 'running') then 'pending' else r.state end::muster.run_state,
      token = coalesce(r.token, 0) + queued::int, attempt = coalesce(r.attempt, 0) - (r.state = 'running')::int,
      lost = coalesce(r.lost, 0), start_recorded = r.start = 'recorded', late = coalesce(r.late, 0),
      due_at = case when queued then coalesce(r.due_at, now()) end,
      completed_at = r.created_at, started_at = r.started_at, finished_at = r.finished_at, error = r.error
  where s.function = r.function and s.key_hash = hash;
  if tg_op = 'DELETE' then
    return old;
  end if;
  if queued or r.state = 'failed' then
    insert into muster.queue (function, due_at, token, key_hash, is_suspect)
    values (r.function, case when queued then coalesce(r.due_at, now()) else 'infinity' end,
            coalesce(r.token, 0) + queued::int, hash, coalesce(r.lost, 0) > 1);
  elsif r.state = 'running' then
    insert into muster.lease (claim, chunk, function, worker, since, keys, tokens, attempts, lates, starts)
    values (gen_random_uuid(), 0, r.function, coalesce(r.worker, gen_random_uuid()), coalesce(r.started_at, now()),
            array[hash], array[coalesce(r.token, 1)], array[coalesce(r.attempt, 1)], array[0], array[coalesce(r.start, 'counts')]);
  end if;
  return new;
end $$;
create trigger writable instead of insert or update or delete on muster.run
for each row execute function test_support.place_run();
