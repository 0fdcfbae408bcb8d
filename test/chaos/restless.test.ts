import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { Random } from '../../dev/lib/random.ts';
import type { TestProcess } from '../support/process.ts';
import { deliver, envelope, type Try } from '../support/sender.ts';
import { until } from '../support/until.ts';
import { type Chaos, doneAndSent, test } from './test.ts';

const SEED = Number(process.env['MUSTER_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const KILLS = Number(process.env['MUSTER_KILLS'] ?? 10);
const SENDERS = 4;

test(
  'under repeated kills and cut connections every accepted event is stored and every set runs once',
  async ({ db, chaos }) => {
    process.stdout.write(`MUSTER_SEED=${SEED}\n`);
    const random = new Random(SEED);
    const enough = new AbortController();
    onTestFinished(() => enough.abort());
    const alive = new Set<TestProcess>();
    const supervisors = [1, 2].map(() => keepUp(chaos, alive, enough.signal));
    await until(() => alive.size === 2);

    let url = '';
    const tries: Try[] = [];
    let sets = 0;
    const anyone = () => (url = [...alive][random.between(0, alive.size - 1)]?.url ?? url);
    const sendSet = async () => {
      const n = sets++;
      const k = `${random.chance(0.3) ? 'slow ' : ''}${n}`;
      const parts = ['a', 'b'].map((kind, i) =>
        envelope('c', 2 * n + i + 1, { id: `${n}${kind}`, k, kind }),
      );
      if (random.chance(0.5)) parts.reverse();
      if (random.chance(0.1)) parts.push(parts[0]!);
      await Promise.all(parts.map((event) => deliver(anyone, event, tries)));
    };
    const send = async () => {
      while (!enough.signal.aborted) {
        await Promise.all([1, 2, 3, 4, 5].map(sendSet));
        await sleep(15);
      }
    };
    const senders = Array.from({ length: SENDERS }, send);

    let killed = 0;
    let cut = 0;
    while (killed < KILLS) {
      // Kills happen in random order: that is the chaos.
      await sleep(random.between(150, 450));
      if (cut === 0 || random.chance(0.3)) cut += (await db.query(CUT)).length;
      const victim = [...alive][random.between(0, alive.size - 1)];
      // Usually one process stays up and takes over; occasionally none does.
      if (victim === undefined || (alive.size < 2 && random.chance(0.8))) continue;
      victim.kill('SIGKILL');
      if ((await victim.exited).signal === 'SIGKILL') killed++;
    }
    enough.abort();
    await Promise.all(senders);
    // An outbox claim whose answer was lost lasts a minute: this ends it early.
    await db.query('update muster.outbox set due_at = now() where sent_at is null');
    await doneAndSent(db, sets);
    for (const each of alive) each.kill('SIGTERM');
    await Promise.all(supervisors);

    const [held] = await db.query<{ n: number }>(
      'select count(*)::int as n from muster.member where in_set',
    );
    const effects = await chaos.traces('effect');
    const runs = new Set(effects.map(({ run }) => run));
    expect({
      lost: 2 * sets - held!.n,
      twice: effects.length - runs.size,
      missing: sets - runs.size,
      unsent: sets - new Set(chaos.sink.ids).size,
    }).toEqual({ lost: 0, twice: 0, missing: 0, unsent: 0 });

    const takeovers = effects.filter(({ attempt }) => attempt > 1).length;
    const unanswered = tries.filter(({ status }) => status === null).length;
    process.stdout.write(
      `${sets} sets, ${killed} kills, ${cut} connections cut, ${takeovers} runs taken over, ${unanswered} requests without an answer\n`,
    );
    expect(cut).toBeGreaterThan(0);
    expect(takeovers).toBeGreaterThan(0);
    expect(unanswered).toBeGreaterThan(0);
  },
  60_000 + KILLS * 3_000,
);

/** Terminates a few connections of live processes. */
const CUT = `
  select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and application_name like 'muster %' order by random() limit 3`;

/** Keeps one process up: starts another when it exits, as Kubernetes does. */
async function keepUp(chaos: Chaos, alive: Set<TestProcess>, end: AbortSignal): Promise<void> {
  while (!end.aborted) {
    const pod = await chaos.launch().serving();
    alive.add(pod);
    await pod.exited;
    alive.delete(pod);
  }
}
