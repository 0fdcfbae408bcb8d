import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Words that this project does not use, with what it says instead. */
const WORDS: readonly (readonly [word: RegExp, instead: string])[] = [
  [/\bTaker\b/, 'EventIngestor'],
  [/\bstateChange\b/, 'parseEnvelope'],
  [/\bUndecided\b/, 'unresolved'],
  [/\bisOfSets\b/, 'isSetFunction'],
  [/\bfunctions? of sets\b/, 'set function'],
  [/\bUnreadable\b/, 'InvalidEvent'],
  [/\b(?:class|link|instanceof|new) Refused\b/, 'HttpError'],
  [/\bjudg(?:e|es|ed|ing|ement|ment)\b/i, 'check, evaluate'],
  [/\blanes?\b/, 'part index'],
  [/\benrol(?:s|led|ling|ment)?\b/i, 'register'],
  [/\bresign(?:s|ed|ing)?\b/i, 'deregister'],
  [/\bbur(?:y|ies|ied|ying)\b/i, 'reap'],
  [/\bmend(?:s|ed|ing)?\b/i, 'fix'],
  [/\b(?:keep|keeps|kept|keeping) aside\b/i, 'park'],
  [/\b(?:insists?|insisted|persistently|patiently)\b/i, 'retry'],
  [/\banew\b/i, 'again, recreated'],
  [/\bsee there\b/i, 'the rule itself'],
  [/\ba word of few\b/i, 'low-cardinality'],
  [/\bfor the eyes of\b/i, 'human-readable'],
  [/\bwhatever may pass\b/i, 'transient errors'],
  [
    /\b(?:at most|only|waits?|lasts?|takes?|for|is|than|in) so (?:many|long|much|few|often)\b/i,
    'the quantity',
  ],
  [/\bSo (?:many|long|much|often)\b(?! as)/, 'the quantity'],
  [/\bsays? (?:that|what|which|why|how|whether) /i, 'specifies, reports, explains'],
  [/\bgives? back\b|\bgiven back\b/i, 'returns, releases'],
  [/\bborn\b/i, 'created'],
  [/\bdeaf\b/i, 'unresponsive'],
  [/\balso a second time\b/i, 'idempotent'],
];

const files = readdirSync('.', { withFileTypes: true })
  .filter(({ name }) => !/^(?:\.|node_modules$|dist$)/.test(name))
  .flatMap((each) =>
    each.isFile()
      ? [each.name]
      : readdirSync(each.name, { recursive: true, encoding: 'utf8' }).map((file) =>
          join(each.name, file),
        ),
  )
  .filter((file) => /\.(?:ts|js|sql|md|ya?ml|html|css|json)$|(?:^|\/)Dockerfile$/.test(file))
  .filter((file) => !/^test\/(?:fixtures\/|words\.test\.ts)|package-lock\.json/.test(file));

test('files, messages and comments use the terms of the field', () => {
  expect(files.length).toBeGreaterThan(600);
  const found = files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, i) =>
        WORDS.flatMap(([word, instead]) => {
          const [used] = word.exec(line) ?? [];
          return used === undefined ? [] : [`${file}:${i + 1}: "${used}": ${instead}`];
        }),
      ),
  );
  expect(found).toEqual([]);
});
