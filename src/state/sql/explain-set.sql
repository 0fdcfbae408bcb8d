-- Returns everything that is stored about one set, for `muster explain` and for responses that explain a change.
--
-- $1 function name  $2 hash of the key
select f.id, f.name, f.paused, f.generation, s.counts, f.need,
       (select jsonb_build_object(
                 'current', count(*) filter (where w.serves ->> f.id::text = f.registration::text),
                 'outdated', count(*) filter (where w.serves ->> f.id::text <> f.registration::text))
        from muster.worker w where w.lease_until > now()) as workers,
       muster.complete(s.counts, f.need, f.gate_need, f.gate_of) as complete,
       case when s.fresh > 0 and r.state is distinct from 'done'
              and not muster.complete(s.counts, f.need, f.gate_need, f.gate_of) then to_jsonb(
         (select min(m.since) from muster.member m where m.function = f.id and m.key_hash = $2 and muster.is_fresh(m.in_set, m.key_hash, m.history))
         + f.overdue_after) end as deadline,
       exists (select from muster.overdue o where o.function = f.id and o.key_hash = $2) as reported,
       to_jsonb(r) - 'function' - 'key' - 'key_hash' || jsonb_build_object('lease_until',
         (select w.lease_until from muster.worker w where w.id = r.worker)) as run,
       (select coalesce(jsonb_agg(jsonb_build_object('part', p.name, 'partIndex', p.part_index, 'need', f.need[p.part_index], 'unsyncedSince', p.unsynced_since) order by p.part_index), '[]')
        from muster.part p where p.function = f.id and p.in_use) as parts,
       (select coalesce(jsonb_agg(jsonb_build_object(
                 'partIndex', m.part_index, 'source', m.source, 'id', m.id, 'inSet', m.in_set, 'version', m.version::text, 'at', m.at,
                 'since', m.since, 'columns', m.columns, 'unavailable',
                 (select json_agg(missing.name order by missing.name)
                  from jsonb_each(m.missing_columns) missing (name, filled) where missing.filled ->> 0 is null)) order by m.part_index, m.since, m.id), '[]')
        from muster.member m where m.function = f.id and m.key_hash = $2 and not m.purged) as members,
       (select coalesce(jsonb_agg(jsonb_build_object(
                 'id', o.event_id, 'type', o.type, 'sentAt', o.sent_at, 'failedAt', o.failed_at,
                 'attempts', o.attempts, 'error', o.error) order by o.id), '[]')
        from muster.outbox o where o.function = f.id and o.key = s.key) as events,
       (select d.definition from muster.definition d where d.function = f.id and d.generation = f.generation) as definition
from muster.function f
left join muster.sets s on s.function = f.id and s.key_hash = $2
left join muster.run r on r.function = f.id and r.key_hash = $2
where f.name = $1;
