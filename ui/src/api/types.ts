/** The values of the server's native interface, as the TypeScript client has them. */

import type {
  AnswerPassage,
  Capabilities,
  ComparedQuery,
  ComparisonResult,
  DocumentBody,
  ExplanationBody,
  FullAnswer,
  FullQuerySet,
  IndexAbout,
  OptionAbout,
  QuerySetAbout,
  Ranking,
  Result,
  SpanBody,
  StoredFile,
  Usage,
  VersionAbout,
} from "secondpass";

export type {
  AnswerPassage,
  Capabilities,
  ComparedQuery,
  ComparisonResult,
  DocumentBody,
  ExplanationBody,
  FullAnswer,
  FullQuerySet,
  IndexAbout,
  QuerySetAbout,
  Ranking,
  Result,
  SpanBody,
  StoredFile,
  Usage,
  VersionAbout,
};

export type Model = Capabilities["models"][number];

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Options of a search by name; those that are absent have their defaults. */
export type Options = Record<string, Json>;

/** What the page reads of the JSON schema of an option. */
export interface Schema {
  type?: string | string[];
  enum?: Json[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  items?: Schema;
  anyOf?: Schema[];
}

/** An option of a search or a rerank request, as the server declares it. */
export type Option = Omit<OptionAbout, "default" | "schema"> & {
  default: Json;
  schema: Schema;
};

export type Grades = Record<string, number>;
