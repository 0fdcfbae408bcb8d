import { isLostRace } from './database.ts';

/** Lost races are sent again so often; sorted locks make even one rare. */
const RACE_TRIES = 5;

/** Runs `work` again where it was lost to a neighbour. */
export async function retryLostRace<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!isLostRace(error) || tries >= RACE_TRIES) throw error;
    }
  }
}
