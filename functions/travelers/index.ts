import { readOptions } from './options.ts';
import { travelers } from './projection.ts';

export default travelers(readOptions(process.env));
