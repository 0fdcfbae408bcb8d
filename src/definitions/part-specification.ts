import type { Scalar } from '../function.ts';

/** A part with every default filled in. */
export type PartSpecification =
  | TablePartSpecification
  | EventPartSpecification
  | TopicPartSpecification;

export interface TablePartSpecification extends SpecifiedPart {
  readonly table: string;
}

interface EventPartSpecification extends SpecifiedPart {
  readonly event: string;
  /** Where the version of an event is; null if events never change. */
  readonly version: string | null;
  readonly deletedBy: string | null;
}

interface TopicPartSpecification extends SpecifiedPart {
  readonly topic: string;
  /** Where the version of a record is; null if each record is a row of its own. */
  readonly version: string | null;
}

/** A part whose rows are messages themselves, and not changes of rows elsewhere. */
export type MessagePartSpecification = EventPartSpecification | TopicPartSpecification;

interface SpecifiedPart {
  readonly name: string;
  readonly key: readonly string[];
  readonly where: Readonly<Record<string, Scalar>>;
  readonly id: readonly string[];
  /** Columns that the member row stores. */
  readonly columns: readonly string[];
  /**
   * Whether they include a column that does not determine membership (key, filter, primary key), or one that
   * another part on the same stream does not store.
   */
  readonly keepsMore: boolean;
  readonly base64: readonly string[];
  readonly count: number;
}
