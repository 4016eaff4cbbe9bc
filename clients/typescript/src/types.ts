// The values of the server's native interface, by their names in its reference.

import type { components } from "./openapi.js";

type Schemas = components["schemas"];

export type AnswerBody = Schemas["AnswerBody"];
export type AnswerPassage = Schemas["Cited"];
export type Capabilities = Schemas["Capabilities"];
export type ComparedQuery = Schemas["ComparedQuery"];
export type ComparisonBody = Schemas["ComparisonBody"];
export type ComparisonResult = Schemas["ComparisonResult"];
export type ComparisonStart = Schemas["ComparisonStart"];
export type Deleted = Schemas["Deleted"];
export type DocumentBody = Schemas["DocumentBody"];
export type ExplainBody = Schemas["ExplainBody"];
export type ExplainTextBody = Schemas["ExplainTextBody"];
export type ExplanationBody = Schemas["ExplanationBody"];
export type Failure = Schemas["Failure"];
export type FirstStage = Schemas["FirstStage"];
export type FullAnswer = Schemas["FullAnswer"];
export type FullQuerySet = Schemas["FullQuerySet"];
export type IndexAbout = Schemas["IndexAbout"];
export type IndexBody = Schemas["IndexBody"];
export type JudgedQuery = Schemas["JudgedQuery"];
export type JudgmentsBody = Schemas["JudgmentsBody"];
export type OptionAbout = Schemas["OptionAbout"];
export type QuerySetAbout = Schemas["QuerySetAbout"];
export type QuerySetBody = Schemas["QuerySetBody"];
export type Ranking = Schemas["Ranking"];
export type RerankBody = Schemas["RerankBody"];
export type Result = Schemas["Result"];
export type SearchBody = Schemas["SearchBody"];
export type SearchConfiguration = Schemas["SearchConfiguration"];
export type SpanBody = Schemas["SpanBody"];
export type Stored = Schemas["Stored"];
export type StoredFile = Schemas["StoredFile"];
export type Usage = Schemas["Usage"];
export type VersionAbout = Schemas["VersionAbout"];

/** What a streamed answer consists of, in this order; `text` comes as often as there is some. */
export type AnswerEvent =
  | { type: "passages"; passages: AnswerPassage[] }
  | { type: "text"; text: string }
  | { type: "answer"; answer: FullAnswer };

/** What a comparison consists of: `query` comes once for each query. */
export type ComparisonEvent =
  | ({ type: "start" } & ComparisonStart)
  | ({ type: "query" } & ComparedQuery)
  | ({ type: "result" } & ComparisonResult);
