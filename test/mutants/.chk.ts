import { readFileSync } from 'node:fs';
import { MUTANTS } from './mutants.ts';
import { NEIGHBOUR_MUTANTS } from './neighbours.ts';
import { PROCESS_MUTANTS } from './process.ts';
import { TRAVELERS_MUTANTS } from './travelers.ts';
for (const m of [...MUTANTS, ...NEIGHBOUR_MUTANTS, ...PROCESS_MUTANTS, ...TRAVELERS_MUTANTS]) {
  const n = readFileSync(m.file, 'utf8').split(m.find).length - 1;
  if (n !== 1) console.log(n, m.file, m.name);
}
