import type { Tx } from 'musterjs';
import { fold } from '../fold/fold.ts';
import { SECOND } from '../fold/length.ts';
import type { Progress } from '../fold/progress.ts';
import { Samples } from '../fold/samples.ts';
import { readSensors } from '../fold/sensors.ts';
import type { StagedSamples } from '../fold/staged.ts';
import { ALL_SENSORS } from '../fold/tallies.ts';
import type { Windows } from './windows.ts';

/**
 * Adds to the windows what the fold would add to their seconds if all staged samples were folded now. Samples that
 * arrive later may change these numbers; without any, they are the ones that will be stored.
 */
export async function addStaged(
  tx: Tx,
  windows: Windows,
  { foldedTo, visitTimeout }: Progress,
  staged: StagedSamples,
): Promise<void> {
  const { from, to, sensors } = windows;
  const ofAll = sensors.includes(ALL_SENSORS);
  const selected = ofAll ? null : new Set(sensors);
  const { inView } = await readSensors(tx, ofAll ? null : sensors);
  const { parts, newest } = await staged.read(tx, foldedTo);
  const samples = parts.map((part) => part.between(foldedTo, Infinity, selected));
  const { tallies } = fold(inView, Samples.concat(samples), newest + 1, visitTimeout);
  for (const { sensor, type, second, tally } of tallies.entries()) {
    const start = second * SECOND;
    if (start < from || start >= to) continue;
    windows.add({
      sensor: ofAll ? ALL_SENSORS : sensor,
      type,
      start,
      samples: tally.samples,
      addTo(window, withStart) {
        if (withStart) window.merge(tally);
        else window.append(tally);
      },
    });
  }
}
