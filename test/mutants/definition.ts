import type { Mutant } from './mutants.ts';

const FIELDS = 'src/fields.ts';
const SPECIFY = ['test/state/specify.test.ts'];

/** What an author wrote, and what the doctor advises. */
export const DEFINITION_MUTANTS: readonly Mutant[] = [
  {
    name: 'a property that nobody knows is ignored',
    file: FIELDS,
    find: '    if (!Object.hasOwn(fields, name)) fail(unknownName(name, known));\n',
    replace: '',
    tests: SPECIFY,
  },
  {
    name: 'a required property may be missing',
    file: FIELDS,
    find: '      if (isRequired) fail(`${name} is missing`);\n',
    replace: '',
    tests: SPECIFY,
  },
  {
    name: '__proto__ is a name',
    file: FIELDS,
    find: "return isText(value) && value !== '__proto__';",
    replace: 'return isText(value);',
    tests: SPECIFY,
  },
  {
    name: 'a part that was taken for a prototype is ignored',
    file: FIELDS,
    find: 'if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {',
    replace: 'if (false) {',
    tests: SPECIFY,
  },
  {
    name: 'a filter may be NaN',
    file: 'src/definition-fields.ts',
    find: "typeof value === 'number' && Number.isFinite(value)",
    replace: "typeof value === 'number'",
    tests: SPECIFY,
  },
  {
    name: 'a key may name a column twice',
    file: 'src/definition-fields.ts',
    find: "return twice === undefined ? null : `names '${twice}' twice`;",
    replace: 'return null;',
    tests: SPECIFY,
  },
  {
    name: 'a deadline may be beyond the calendar',
    file: FIELDS,
    find: '  (days) => days > 0 && days <= LONGEST_DAYS,',
    replace: '  (days) => days > 0,',
    tests: SPECIFY,
  },
  {
    name: 'a misspelt property of an event is dropped',
    file: 'src/runs/attempt.ts',
    find: '    checkEvent(event, (problem) => problems.push(`event ${i}: ${problem}`));\n',
    replace: '',
    tests: ['test/runs/handler.test.ts'],
  },
  {
    name: 'a file may define a function of another name',
    file: 'src/functions.ts',
    find: "if (typeof own === 'string' && own !== name) {",
    replace: 'if (false) {',
    tests: ['test/functions.test.ts'],
  },
  {
    name: 'a full identity is advised before generated columns are published',
    file: 'src/doctor/replica-identity.ts',
    find: '      .map(sendGenerated),\n    setIdentity',
    replace: '      .map(() => ""),\n    setIdentity',
    tests: ['test/doctor/remedies.test.ts'],
  },
  {
    name: 'a full identity with a virtual generated column is advised',
    file: 'src/doctor/replica-identity.ts',
    find: 'if (generated.length > 0 && hasVirtual(table)) return null;',
    replace: '',
    tests: ['test/doctor/remedies.test.ts'],
  },
  {
    name: 'a full identity is always fine',
    file: 'src/doctor/replica-identity.ts',
    find: 'if (lacking.length === 0) return fine',
    replace: 'if (true) return fine',
    tests: ['test/doctor/remedies.test.ts'],
  },
  {
    name: 'the identity of partitions is left as it is',
    file: 'src/doctor/replica-identity.ts',
    find: 'const names = leaves.length > 0 ? leaves.map((each) => each.name) : [name];',
    replace: 'const names = [name, ...leaves.slice(0, 0).map((each) => each.name)];',
    tests: ['test/doctor/remedies.test.ts'],
  },
  {
    name: 'a generated column is published like any other',
    file: 'src/doctor/publication.ts',
    find: 'const plain = lacking.filter((column) => !isGenerated(column));',
    replace: 'const plain = lacking.filter((column) => isGenerated(column) !== null);',
    tests: ['test/doctor/remedies.test.ts'],
  },
];
