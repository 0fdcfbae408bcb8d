import { exampleMessages } from '../../definitions/example-message.ts';
import { curlLine } from '../../lib/curl-line.ts';
import { type Checked, partsOf } from './checked.ts';

export interface IntroductionOptions {
  readonly port: number;
  readonly consolePort: number;
  /** Whether topics are read. */
  readonly readsKafka: boolean;
  /** Folder of the functions. */
  readonly folder: string;
}

/** Returns the lines that `muster dev` prints once the functions run. */
export function introduction(
  functions: readonly Checked[],
  { port, consolePort, readsKafka, folder }: IntroductionOptions,
): string[] {
  const url = `http://localhost:${port}`;
  return [
    `events     ${url}`,
    `console    http://localhost:${consolePort} (with a form to send events)`,
    ...functions.flatMap((each) => {
      if ('topic' in each) {
        const how = readsKafka ? '' : ', which --kafka <brokers> reads';
        return [`function   ${each.function}, of the topic ${each.topic}${how}`];
      }
      const examples = exampleMessages(each, partsOf(functions));
      return [
        `function   ${each.function}. The rows of a set, one by one:\n`,
        ...examples.map(
          ({ message }, i) => `  ${curlLine(url, String(i + 1), JSON.stringify(message))}\n`,
        ),
      ];
    }),
    `Save a file in ${folder}/ to reload it. Ctrl-C ends.`,
  ];
}
