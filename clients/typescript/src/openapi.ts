// Written by scripts/openapi.mjs from docs/reference/openapi.json.

export interface paths {
    "/api/v1/capabilities": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get Capabilities
         * @description Return what this server has: models, options, languages, file types, limits.
         */
        get: operations["get_capabilities_api_v1_capabilities_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/explain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Explain Score
         * @description Explain the reranker's score of one text, without an index.
         */
        post: operations["explain_score_api_v1_explain_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Indexes
         * @description List the indexes.
         */
        get: operations["list_indexes_api_v1_indexes_get"];
        put?: never;
        /**
         * Create Index
         * @description Create an index.
         */
        post: operations["create_index_api_v1_indexes_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get Index
         * @description Return one index.
         */
        get: operations["get_index_api_v1_indexes__name__get"];
        put?: never;
        post?: never;
        /**
         * Delete Index
         * @description Delete an index with everything in it.
         */
        delete: operations["delete_index_api_v1_indexes__name__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/answer": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Answer
         * @description Answer a question from what a search finds, with citations.
         */
        post: operations["answer_api_v1_indexes__name__answer_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/documents": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Add Documents
         * @description Store documents; they can be searched as soon as the response has come.
         */
        post: operations["add_documents_api_v1_indexes__name__documents_post"];
        /**
         * Delete Documents
         * @description Delete documents by id; the parameter `id` may be repeated.
         */
        delete: operations["delete_documents_api_v1_indexes__name__documents_delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/explain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Explain Result
         * @description Explain the rank of a document of an index for a query.
         */
        post: operations["explain_result_api_v1_indexes__name__explain_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/files": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Add File
         * @description Read a file and store its documents; its name says the format, and is its id.
         *
         *     A file of rows has a document for each, with the row's own id, or the file's name and
         *     the number of its line.
         */
        post: operations["add_file_api_v1_indexes__name__files_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/query-sets": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Query Sets
         * @description List the query sets of an index.
         */
        get: operations["list_query_sets_api_v1_indexes__name__query_sets_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/query-sets/{query_set}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get Query Set
         * @description Return a query set with its queries and grades.
         */
        get: operations["get_query_set_api_v1_indexes__name__query_sets__query_set__get"];
        /**
         * Put Query Set
         * @description Create a query set, or replace the one of that name.
         */
        put: operations["put_query_set_api_v1_indexes__name__query_sets__query_set__put"];
        post?: never;
        /**
         * Delete Query Set
         * @description Delete a query set; of "judged", its queries and grades.
         */
        delete: operations["delete_query_set_api_v1_indexes__name__query_sets__query_set__delete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/query-sets/{query_set}/comparison": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Compare
         * @description Compare two configurations over the judged queries of a set.
         *
         *     Sends server-sent events: "start", one "query" for each, and "result"; "error" where
         *     it fails midway. Closing the connection ends the comparison.
         */
        post: operations["compare_api_v1_indexes__name__query_sets__query_set__comparison_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/query-sets/{query_set}/judgments": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Judge
         * @description Grade documents for a query from 0 (not relevant) to 3 (perfect).
         *
         *     Grades are of documents, not of their passages. A query that the set does not have is
         *     added to it.
         */
        post: operations["judge_api_v1_indexes__name__query_sets__query_set__judgments_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/query-sets/{query_set}/qrels": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get Qrels
         * @description Return the grades of a query set as a file: qrels.
         */
        get: operations["get_qrels_api_v1_indexes__name__query_sets__query_set__qrels_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/query-sets/{query_set}/queries": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get Queries
         * @description Return the queries of a query set as a file: JSON lines with `_id` and `text`.
         */
        get: operations["get_queries_api_v1_indexes__name__query_sets__query_set__queries_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/search": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Search
         * @description Find documents in two passes.
         */
        post: operations["search_api_v1_indexes__name__search_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/indexes/{name}/versions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List Versions
         * @description List the states of an index that can still be searched.
         */
        get: operations["list_versions_api_v1_indexes__name__versions_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Models
         * @description List the models.
         */
        get: operations["models_api_v1_models_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rerank": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Rerank
         * @description Put documents in the order of their relevance to the query.
         */
        post: operations["rerank_api_v1_rerank_post"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * AnswerBody
         * @description A question, and how much may be read to answer it.
         *
         *     `passages` are read, `context_tokens` of them in all. Where none is relevant with
         *     `min_probability`, the answer is that there is none; null turns that check off. `context`
         *     "spans" sends the language model only the sentences that answer. `rewrite` lets the
         *     language model, where the server has one, first turn the question into a query. `stream`
         *     sends the answer as it is written, as server-sent events: `passages` (a list of `Cited`,
         *     without spans), `text` (an object with a piece of the text) as often as there are pieces,
         *     then `answer` (a `FullAnswer`), or `error` (a `Failure`). The other fields are those of a
         *     search.
         */
        AnswerBody: {
            /**
             * Boost
             * @description What is added to scores, in standard deviations, as in "year >= 2024: +0.3".
             * @default []
             */
            boost?: (string | {
                decay?: number;
                field?: string;
                filter?: string;
                /** @enum {string} */
                function?: "linear" | "log" | "reciprocal" | "gauss" | "exp" | "equals";
                offset?: string | number;
                origin?: string | number | Record<string, unknown>;
                scale?: string | number;
                value?: string | number | boolean;
                weight: number;
            })[];
            /**
             * Context
             * @default passages
             * @enum {string}
             */
            context?: "passages" | "spans";
            /**
             * Context Tokens
             * @default 1500
             */
            context_tokens?: number;
            /**
             * Diversity
             * @description Trade relevance for diversity, from 0 to 1 (maximal marginal relevance).
             */
            diversity?: number | null;
            /**
             * Group By
             * @description Return few results of one document ("document"), or of one value of this field.
             */
            group_by?: string | null;
            /**
             * Group Size
             * @description Results of one group, with group_by.
             * @default 1
             */
            group_size?: number;
            /**
             * Hide
             * @description Ids of documents and passages that are not returned.
             * @default []
             */
            hide?: string[];
            /**
             * Max Tokens
             * @default 500
             */
            max_tokens?: number;
            /**
             * Min Probability
             * @default 0.03
             */
            min_probability?: number | null;
            /**
             * Passages
             * @default 5
             */
            passages?: number;
            /**
             * Pin
             * @description Ids of documents and passages that come first, found or not.
             * @default []
             */
            pin?: string[];
            /** Query */
            query: string;
            /**
             * Rewrite
             * @default false
             */
            rewrite?: boolean;
            /**
             * Stream
             * @default false
             */
            stream?: boolean;
        };
        /**
         * Capabilities
         * @description What a server has, and what the caller may do.
         *
         *     `scopes` are those of the caller's key, all of them where no key is needed. `llm` is the
         *     language model of answers; `default_index` the first index that the server was started
         *     with. `measure_problem` says what to install where `can_measure` is false. `file_types` are
         *     suffixes of files that can be uploaded.
         */
        Capabilities: {
            /** Can Create Indexes */
            can_create_indexes: boolean;
            /** Can Measure */
            can_measure: boolean;
            /** Default Index */
            default_index: string | null;
            /** File Types */
            file_types: string[];
            /** Key Required */
            key_required: boolean;
            /** Languages */
            languages: string[];
            limits: components["schemas"]["Limits"];
            /** Llm */
            llm: string | null;
            /** Measure Problem */
            measure_problem: string | null;
            /** Measures */
            measures: string[];
            /** Models */
            models: components["schemas"]["ModelAbout"][];
            /** Rerank Options */
            rerank_options: components["schemas"]["OptionAbout"][];
            /** Scopes */
            scopes: string[];
            /** Search Options */
            search_options: components["schemas"]["OptionAbout"][];
            /** Version */
            version: string;
        };
        /**
         * Cited
         * @description A passage that the answer could cite by its number, and which of its sentences answer.
         */
        Cited: {
            /** Ids */
            ids: string[];
            /** Number */
            number: number;
            /** Probability */
            probability: number | null;
            /** Spans */
            spans: components["schemas"]["SpanBody"][];
            /** Text */
            text: string;
            /** Title */
            title: string | null;
        };
        /**
         * ComparedQuery
         * @description An event "query": the measure of one query, and the milliseconds of its two searches.
         *
         *     `done` counts the queries up to this one.
         */
        ComparedQuery: {
            /** After */
            after: number;
            /** After Ms */
            after_ms: number;
            /** Before */
            before: number;
            /** Before Ms */
            before_ms: number;
            /** Change */
            change: number;
            /** Done */
            done: number;
            /** Id */
            id: string;
            /** Text */
            text: string;
        };
        /**
         * ComparisonBody
         * @description Two configurations of a search, and how they are compared.
         *
         *     `measure` is a name of ir-measures; `limit` takes the first queries only.
         */
        ComparisonBody: {
            after: components["schemas"]["SearchConfiguration"];
            before: components["schemas"]["SearchConfiguration"];
            /** Limit */
            limit?: number | null;
            /**
             * Measure
             * @default nDCG@10
             */
            measure?: string;
        };
        /**
         * ComparisonResult
         * @description The last event, "result": means, the difference, and what it says.
         *
         *     `verdict` is "better" where the difference is significant at 5 %, "not better" where it is
         *     surely below .01 or not above 0, else "undecided"; `sentence` says it in words.
         *     `before_ms` and `after_ms` are medians.
         */
        ComparisonResult: {
            /** After */
            after: number;
            /** After Ms */
            after_ms: number;
            /** Before */
            before: number;
            /** Before Ms */
            before_ms: number;
            effect: components["schemas"]["Effect"];
            /** Measure */
            measure: string;
            /** Queries */
            queries: number;
            /** Sentence */
            sentence: string;
            /** Verdict */
            verdict: string;
        };
        /**
         * ComparisonStart
         * @description The first event, "start": how many queries are compared; notes on those left out.
         */
        ComparisonStart: {
            /** Measure */
            measure: string;
            /** Notes */
            notes: string[];
            /** Queries */
            queries: number;
        };
        /**
         * Counterfactual
         * @description The rank that the document would have after a change, all else being equal.
         *
         *     `bm25` is None where the effect of the change on it is not known; the ranking then uses
         *     the old one.
         */
        Counterfactual: {
            /** Bm25 */
            bm25: number | null;
            /** Change */
            change: string;
            /** Rank */
            rank: number;
            /** Score */
            score: number;
            /** Vector */
            vector: number | null;
        };
        /**
         * Deleted
         * @description How many documents were deleted.
         */
        Deleted: {
            /** Deleted */
            deleted: number;
        };
        /**
         * DocumentBody
         * @description A text with an optional id, title and metadata, on which searches can filter.
         *
         *     An id has at most 2,000 characters.
         */
        DocumentBody: {
            /** Id */
            id?: string | null;
            /** Metadata */
            metadata?: {
                [key: string]: unknown;
            };
            /** Text */
            text: string;
            /** Title */
            title?: string | null;
        };
        /**
         * DocumentsBody
         * @description Documents to store; existing documents with the same ids are replaced.
         */
        DocumentsBody: {
            /** Documents */
            documents: components["schemas"]["DocumentBody"][];
        };
        /**
         * Effect
         * @description A paired difference between two systems over the same queries.
         *
         *     - `mean`: of the differences; `low`, `high`: its 95 % bootstrap interval.
         *     - `size`: Cohen's d of the differences, mean over standard deviation; None where they
         *       do not vary.
         *     - `t`, `p`: two-sided p-values of the paired t-test and of the randomization test.
         *     - `detectable`: the smallest true mean that a t-test at 5 % with this many queries
         *       detects with a power of 80 %; None for fewer than two queries.
         *     - `won`, `tied`, `lost`: numbers of queries.
         */
        Effect: {
            /** Detectable */
            detectable: number | null;
            /** High */
            high: number;
            /** Lost */
            lost: number;
            /** Low */
            low: number;
            /** Mean */
            mean: number;
            /** P */
            p: number;
            /** Size */
            size: number | null;
            /** T */
            t: number;
            /** Tied */
            tied: number;
            /** Won */
            won: number;
        };
        /**
         * ExplainBody
         * @description A query, and the id of a document or passage of the index.
         *
         *     `model` names a model that is served, the default one for null. `depths` are up to five
         *     other numbers of candidates to give the rank for. With `fields`, the explanation has the
         *     rank without each of them. `seed` is for the random parts that the important ones are
         *     compared with. The other fields are those of a search.
         */
        ExplainBody: {
            /**
             * Blend
             * @description Whether to blend first-stage scores in, or the weights of rerank, vector, bm25 and neighbors.
             * @default true
             */
            blend?: boolean | {
                [key: string]: number;
            };
            /**
             * Boost
             * @description What is added to scores, in standard deviations, as in "year >= 2024: +0.3".
             * @default []
             */
            boost?: (string | {
                decay?: number;
                field?: string;
                filter?: string;
                /** @enum {string} */
                function?: "linear" | "log" | "reciprocal" | "gauss" | "exp" | "equals";
                offset?: string | number;
                origin?: string | number | Record<string, unknown>;
                scale?: string | number;
                value?: string | number | boolean;
                weight: number;
            })[];
            /**
             * Candidates
             * @description Number of first-stage candidates.
             * @default 50
             */
            candidates?: number;
            /** Depths */
            depths?: number[];
            /** Document */
            document: string;
            /**
             * Fields
             * @description Document fields to read, in order, as in "title,text".
             */
            fields?: string[] | null;
            /**
             * Mode
             * @description First-stage search: hybrid, bm25 or vector.
             * @default hybrid
             * @enum {string}
             */
            mode?: "hybrid" | "bm25" | "vector";
            /** Model */
            model?: string | null;
            /** Query */
            query: string;
            /**
             * Rescore
             * @description Model that reads the candidates ranked first once more; auto (bundled-full after bundled, for questions, where the blend is the default one) or none.
             * @default auto
             */
            rescore?: string | null;
            /**
             * Rescore Weight
             * @description What a standard deviation of rescored scores adds at most, in those before.
             * @default 0.5
             */
            rescore_weight?: number;
            /**
             * Rescore Window
             * @description Candidates that are read with rescore, from the first.
             * @default 5
             */
            rescore_window?: number;
            /**
             * Seed
             * @default 0
             */
            seed?: number;
        };
        /**
         * ExplainTextBody
         * @description A query and a text, whose score by the reranker alone is explained.
         */
        ExplainTextBody: {
            /** Document */
            document: string | components["schemas"]["DocumentBody"];
            /** Fields */
            fields?: string[] | null;
            /** Model */
            model?: string | null;
            /** Query */
            query: string;
            /**
             * Seed
             * @default 0
             */
            seed?: number;
        };
        /**
         * ExplanationBody
         * @description Why a document has its rank.
         *
         *     - `found`: whether the first stage retrieved it; if not, the rest is what would be if it
         *       had. Null without an index, where only the reranker is explained.
         *     - `places`: the rank by each stage. `terms` sum to `bm25`, and `matches` are their places in
         *       the document; `parts` sum to `final_score`.
         *     - `score`: the reranker's, of which `spans` of query, title and text are the contributions;
         *       `faithfulness` says whether they hold. `windows` are the parts of the text that it scored.
         *     - `counterfactuals`: the rank after a change, such as without the title; `depths`: the rank
         *       with other numbers of candidates.
         *     - `rescorer`: the model that read the first candidates again, which `parts` has.
         *     - `answers`: the sentences that answer; `notes`: what could not be explained, and why.
         */
        ExplanationBody: {
            /** Answers */
            answers: components["schemas"]["SpanBody"][];
            /** Bm25 */
            bm25: number | null;
            /** Counterfactuals */
            counterfactuals: components["schemas"]["Counterfactual"][];
            /** Depths */
            depths: components["schemas"]["RankAtDepth"][];
            document: components["schemas"]["DocumentBody"];
            faithfulness: components["schemas"]["Faithfulness"] | null;
            /** Final Score */
            final_score: number;
            /** Found */
            found: boolean | null;
            /** Id */
            id: string;
            /** Matches */
            matches: components["schemas"]["Match"][];
            /** Model */
            model: string;
            /** Notes */
            notes: string[];
            /** Parts */
            parts: {
                [key: string]: number;
            };
            places: components["schemas"]["StageRanks"] | null;
            /** Probability */
            probability: number | null;
            /** Query */
            query: string;
            /** Rescorer */
            rescorer: string | null;
            /** Score */
            score: number;
            /** Score Kind */
            score_kind: string;
            /** Spans */
            spans: components["schemas"]["Span"][];
            /** Terms */
            terms: components["schemas"]["TermScore"][];
            /** Vector */
            vector: number | null;
            /** Windows */
            windows: components["schemas"]["ScoredWindow"][];
        };
        /**
         * Failure
         * @description Why a request failed: a short name, a sentence, and the request's id.
         *
         *     `what` failed, `where`, `why`, and how to `fix` it are the parts of the sentence, where it
         *     has parts.
         */
        Failure: {
            /** Error */
            error: string;
            /** Fix */
            fix?: string | null;
            /** Id */
            id: string;
            /** Message */
            message: string;
            /** What */
            what?: string | null;
            /** Where */
            where?: string | null;
            /** Why */
            why?: string | null;
        };
        /**
         * Faithfulness
         * @description Whether the spans with the largest contributions matter more than random ones.
         *
         *     `drop` is what the score loses without the top spans (`removed` of `words` words),
         *     `random` what it loses on average without random other spans of as many words, with the
         *     5th and 95th percentile; `beaten` is the share of random removals that lose as much.
         */
        Faithfulness: {
            /** Beaten */
            beaten: number;
            /** Drop */
            drop: number;
            /** Random */
            random: number;
            /** Random High */
            random_high: number;
            /** Random Low */
            random_low: number;
            /** Removed */
            removed: number;
            /** Rounds */
            rounds: number;
            /** Words */
            words: number;
        };
        /**
         * FirstStage
         * @description Where a document stood before the second pass: `rank` from 1, and by which scores.
         */
        FirstStage: {
            /** Bm25 */
            bm25: number | null;
            /** Rank */
            rank: number;
            /** Score */
            score: number | null;
            /** Vector */
            vector: number | null;
        };
        /**
         * FullAnswer
         * @description An answer with numbers of passages in brackets.
         *
         *     `status` is "generated" by a language model, "extractive" (sentences of the passages as
         *     they stand) or "not_found"; `reason` says why, or what went wrong.
         */
        FullAnswer: {
            /** Id */
            id: string;
            /** Model */
            model: string | null;
            /** Passages */
            passages: components["schemas"]["Cited"][];
            /** Query */
            query: string;
            /** Reason */
            reason: string | null;
            /** Status */
            status: string;
            /** Text */
            text: string;
            /** Timings */
            timings: {
                [key: string]: number;
            };
        };
        /**
         * FullQuerySet
         * @description A query set with its queries, and its grades by query id, then by document id.
         */
        FullQuerySet: {
            /** Grades */
            grades: {
                [key: string]: {
                    [key: string]: number;
                };
            };
            /** Name */
            name: string;
            /** Queries */
            queries: components["schemas"]["StoredQuery"][];
            /** Writable */
            writable: boolean;
        };
        /**
         * IndexAbout
         * @description An index: its name, what it has, and how it can be searched.
         *
         *     `documents` are stored as `passages`. `modes` are those of a search that it can run,
         *     `fields` the metadata that a filter can name, with the type of each. `writable`: whether
         *     the caller may add documents.
         *
         *     For a database that is searched like an index, `engine` is its kind and version, and
         *     `problem` what is wrong where it cannot be reached; the number of its rows or passages,
         *     its language and its modes are null or empty where they are not known.
         *
         *     For an index in object storage, `version` is the number of the published version that is
         *     searched now, and `problem` why no newer one can be looked for.
         */
        IndexAbout: {
            /** Documents */
            documents: number | null;
            /** Engine */
            engine?: string | null;
            /** Fields */
            fields: {
                [key: string]: string;
            };
            /** Language */
            language: string | null;
            /** Modes */
            modes: string[];
            /** Name */
            name: string;
            /** Passages */
            passages: number | null;
            /** Problem */
            problem?: string | null;
            /** Version */
            version?: number | null;
            /** Writable */
            writable: boolean;
        };
        /**
         * IndexBody
         * @description A new index.
         *
         *     `language` is that of stemming; documents longer than `chunk_tokens` are split into
         *     passages that share `overlap` tokens, null keeps them whole. Both are at most 100,000.
         */
        IndexBody: {
            /**
             * Chunk Tokens
             * @default 256
             */
            chunk_tokens?: number | null;
            /**
             * Language
             * @default english
             */
            language?: string;
            /** Name */
            name: string;
            /**
             * Overlap
             * @default 32
             */
            overlap?: number;
        };
        /**
         * IndexList
         * @description The indexes of the caller's tenant, except those that other dialects created.
         */
        IndexList: {
            /** Indexes */
            indexes: components["schemas"]["IndexAbout"][];
        };
        /**
         * JudgedQuery
         * @description A query of a set with all its grades.
         */
        JudgedQuery: {
            /** Grades */
            grades: {
                [key: string]: number;
            };
            /** Id */
            id: string;
            /** Text */
            text: string;
        };
        /**
         * JudgmentsBody
         * @description A query by its text, and the grades of documents, by id; null removes a grade.
         */
        JudgmentsBody: {
            /** Grades */
            grades: {
                [key: string]: number | null;
            };
            /** Query */
            query: string;
        };
        /**
         * Limits
         * @description The limits of a request: documents, bytes, nested JSON, and seconds.
         */
        Limits: {
            /** Max Body */
            max_body: number;
            /** Max Depth */
            max_depth: number;
            /** Max Documents */
            max_documents: number;
            /** Timeout */
            timeout: number;
        };
        /**
         * Match
         * @description Where a word of the query stands in the document, as keyword search compares them.
         *
         *     - `word`: the word of `terms`; `where`: "title" or "text".
         *     - `start`, `end`: [start, end) in characters there; `text`: what is written there.
         */
        Match: {
            /** End */
            end: number;
            /** Start */
            start: number;
            /** Text */
            text: string;
            /** Where */
            where: string;
            /** Word */
            word: string;
        };
        /**
         * ModelAbout
         * @description A reranker: how many tokens it reads at once, its numeric precision, what it can do.
         *
         *     `runs_here` is false for a provider's model; `gives_spans` says whether results can have the
         *     sentences that answer, `follows_instructions` whether it reads `instructions`.
         */
        ModelAbout: {
            /** Default */
            default: boolean;
            /** Follows Instructions */
            follows_instructions: boolean;
            /** Gives Spans */
            gives_spans: boolean;
            /** Max Length */
            max_length: number | null;
            /** Name */
            name: string;
            /** Precision */
            precision: string;
            /** Runs Here */
            runs_here: boolean;
        };
        /**
         * ModelList
         * @description The names of the models that are served, the default first.
         */
        ModelList: {
            /** Models */
            models: string[];
        };
        /**
         * OptionAbout
         * @description A search option: one line of help, its default, and the JSON schema of a value.
         *
         *     Null is a value where it is the default. `second_pass` options mean nothing with
         *     `rerank` false. `group` is "first_stage", "grouping", "expansion", "reranking", "reading",
         *     "boosts" or "policies".
         */
        OptionAbout: {
            /** Default */
            default: unknown;
            /** Group */
            group: string;
            /** Help */
            help: string;
            /** Name */
            name: string;
            /** Schema */
            schema: {
                [key: string]: unknown;
            };
            /** Second Pass */
            second_pass: boolean;
        };
        /**
         * QueryBody
         * @description A query: its text, and its id, which is its position from 1 ("q1") if absent.
         */
        QueryBody: {
            /** Id */
            id?: string | null;
            /** Text */
            text: string;
        };
        /**
         * QuerySetAbout
         * @description A query set: its name, how many queries and grades it has, and who may change it.
         *
         *     `writable`: whether the caller may.
         */
        QuerySetAbout: {
            /** Judgments */
            judgments: number;
            /** Name */
            name: string;
            /** Queries */
            queries: number;
            /** Writable */
            writable: boolean;
        };
        /**
         * QuerySetBody
         * @description The queries of a set, and grades by query id, then by document id.
         */
        QuerySetBody: {
            /** Grades */
            grades?: {
                [key: string]: {
                    [key: string]: number;
                };
            };
            /** Queries */
            queries: components["schemas"]["QueryBody"][];
        };
        /**
         * QuerySetList
         * @description The query sets of an index, by name; "judged" is always there.
         */
        QuerySetList: {
            /** Query Sets */
            query_sets: components["schemas"]["QuerySetAbout"][];
        };
        /**
         * RankAtDepth
         * @description The rank of the document where so many candidates are reranked; null if it is not one.
         */
        RankAtDepth: {
            /** Candidates */
            candidates: number;
            /** Rank */
            rank: number | null;
        };
        /**
         * Ranking
         * @description The results, best first, and how they came about.
         *
         *     `status` is "reranked", "partially_reranked", "fallback" or "skipped", and `reason` why;
         *     `query_unread` counts characters of the query that were not read; `warnings` says in
         *     sentences what was not read of the query and of the documents, those without a place in
         *     `results` included; `timings` is in milliseconds; `usage` says how much was read for it.
         */
        Ranking: {
            /** Id */
            id: string;
            /** Model */
            model: string | null;
            /** Query */
            query: string;
            /** Query Unread */
            query_unread: number;
            /** Reason */
            reason: string | null;
            /** Results */
            results: components["schemas"]["Result"][];
            /** Status */
            status: string;
            /** Timings */
            timings: {
                [key: string]: number;
            };
            usage: components["schemas"]["Usage"];
            /** Warnings */
            warnings: string[];
        };
        /**
         * RerankBody
         * @description A query and documents to put in order: the options of `Reranker.rerank`.
         */
        RerankBody: {
            /**
             * Budget Tokens
             * @description Tokens of documents that a local model reads for one query.
             * @default 65536
             */
            budget_tokens?: number;
            /** Documents */
            documents: (string | components["schemas"]["DocumentBody"])[];
            /**
             * Early Exit At
             * @description Stop reading candidates that cannot be among the first N, and return them unscored (precomputed rerankers).
             */
            early_exit_at?: number | null;
            /**
             * Fields
             * @description Document fields to read, in order, as in "title,text".
             */
            fields?: string[] | null;
            /**
             * Instructions
             * @description What the model should prefer, as in "prefer recent and internal documents".
             */
            instructions?: string | null;
            /**
             * Max Length
             * @description Maximum tokens of a window, query included.
             */
            max_length?: number | null;
            /**
             * Max Query Tokens
             * @description Tokens of the query, from its two ends, that are read at most.
             */
            max_query_tokens?: number | null;
            /**
             * Max Tokens Per Doc
             * @description Tokens of a document, from its beginning, that are read at most.
             */
            max_tokens_per_doc?: number | null;
            /**
             * Min Probability
             * @description Drop results with a lower probability of relevance, 0 to 1.
             */
            min_probability?: number | null;
            /**
             * Min Score
             * @description Drop results with a lower score.
             */
            min_score?: number | null;
            /**
             * Model
             * @description Name of a model that is served; the default model for null.
             */
            model?: string | null;
            /**
             * On Unsupported
             * @description If the model cannot follow instructions: raise an error, or ignore them.
             * @default raise
             * @enum {string}
             */
            on_unsupported?: "raise" | "ignore";
            /**
             * Passages
             * @description How window scores of a document combine: max, mean, first or top-N-mean.
             */
            passages?: string | null;
            /** Query */
            query: string;
            /**
             * Return Documents
             * @description Whether results include their documents.
             * @default false
             */
            return_documents?: boolean;
            /**
             * Spans
             * @description Whether results have the sentences that answer, or threshold, max_spans, unit, max_results of those.
             * @default false
             */
            spans?: boolean | {
                max_results?: number;
                max_spans?: number;
                threshold?: number;
                /** @enum {string} */
                unit?: "sentence";
            };
            /**
             * Template
             * @description Template that turns fields into text, as in "{title} ({year}): {text}".
             */
            template?: string | null;
            /**
             * Top K
             * @description Number of results to return.
             */
            top_k?: number | null;
            /**
             * Truncate
             * @description Whether to read a part of texts that are too long, or refuse them.
             * @default true
             */
            truncate?: boolean;
        };
        /**
         * Result
         * @description A document, its rank and its scores.
         *
         *     `index` is the position in the request's list; `score` is what the results are
         *     ordered by, and `score_kind` says how to read it: "logit", "probability", "similarity",
         *     or "rank", of which only the order within one response means anything. A passage of a
         *     longer document has that document's id as `document_id` and its number there as `chunk`,
         *     from 1; else they are `id` and 0. `probability` is the chance of relevance. `unread` counts
         *     characters that the model did not read, `windows` in how many windows it read the others;
         *     `parts` is what each stage added to the score. `spans` are the sentences that answer, best
         *     first, where the request asked for them; `best_window` is [start, end) of the window with
         *     the highest score in the document's text, null where that is not known.
         */
        Result: {
            /** Best Window */
            best_window: number[] | null;
            /** Chunk */
            chunk: number;
            document: components["schemas"]["DocumentBody"] | null;
            /** Document Id */
            document_id: string | null;
            first_stage: components["schemas"]["FirstStage"];
            /** Id */
            id: string | null;
            /** Index */
            index: number;
            /** Parts */
            parts: {
                [key: string]: number;
            };
            /** Probability */
            probability: number | null;
            /** Rank */
            rank: number;
            /** Score */
            score: number;
            /** Score Kind */
            score_kind: string;
            /** Scored */
            scored: boolean;
            /** Spans */
            spans: components["schemas"]["SpanBody"][];
            /** Unread */
            unread: number;
            /** Windows */
            windows: number;
        };
        /**
         * ScoredWindow
         * @description A window that the reranker scored: characters [start, end) of the text.
         */
        ScoredWindow: {
            /** End */
            end: number;
            /** Score */
            score: number;
            /** Start */
            start: number;
        };
        /**
         * SearchBody
         * @description A query, and how to search for it: the options of `Index.search`.
         */
        SearchBody: {
            /**
             * Adaptive
             * @description Read neighbors of the best documents instead of the last candidates.
             * @default false
             */
            adaptive?: boolean;
            /**
             * Blend
             * @description Whether to blend first-stage scores in, or the weights of rerank, vector, bm25 and neighbors.
             * @default true
             */
            blend?: boolean | {
                [key: string]: number;
            };
            /**
             * Boost
             * @description What is added to scores, in standard deviations, as in "year >= 2024: +0.3".
             * @default []
             */
            boost?: (string | {
                decay?: number;
                field?: string;
                filter?: string;
                /** @enum {string} */
                function?: "linear" | "log" | "reciprocal" | "gauss" | "exp" | "equals";
                offset?: string | number;
                origin?: string | number | Record<string, unknown>;
                scale?: string | number;
                value?: string | number | boolean;
                weight: number;
            })[];
            /**
             * Budget Ms
             * @description Milliseconds for reranking; candidates beyond it are left unscored.
             */
            budget_ms?: number | null;
            /**
             * Budget Tokens
             * @description Tokens of documents that a local model reads for one query.
             * @default 65536
             */
            budget_tokens?: number;
            /**
             * Candidates
             * @description Number of first-stage candidates.
             * @default 50
             */
            candidates?: number;
            /**
             * Cascade
             * @description Let bundled-tiny rule out weak candidates before the reranker scores the rest.
             * @default false
             */
            cascade?: boolean;
            /**
             * Diversity
             * @description Trade relevance for diversity, from 0 to 1 (maximal marginal relevance).
             */
            diversity?: number | null;
            /**
             * Early Exit At
             * @description Stop reading candidates that cannot be among the first N, and return them unscored (precomputed rerankers).
             */
            early_exit_at?: number | null;
            /**
             * Feedback
             * @description Search again for words and vectors of so many of the best documents, once half of the candidates are read.
             */
            feedback?: number | null;
            /**
             * Fields
             * @description Document fields to read, in order, as in "title,text".
             */
            fields?: string[] | null;
            /**
             * Filter
             * @description SQL condition on metadata, as in "year >= 2015".
             */
            filter?: string | null;
            /**
             * Fusion
             * @description How hybrid search merges its rankings: rrf, weighted, weighted-z-score, dbsf.
             * @default rrf
             * @enum {string}
             */
            fusion?: "rrf" | "weighted" | "weighted-z-score" | "dbsf";
            /**
             * Group By
             * @description Return few results of one document ("document"), or of one value of this field.
             */
            group_by?: string | null;
            /**
             * Group Size
             * @description Results of one group, with group_by.
             * @default 1
             */
            group_size?: number;
            /**
             * Hide
             * @description Ids of documents and passages that are not returned.
             * @default []
             */
            hide?: string[];
            /**
             * Instructions
             * @description What the model should prefer, as in "prefer recent and internal documents".
             */
            instructions?: string | null;
            /**
             * Like
             * @description Ids of documents that results should be like.
             * @default []
             */
            like?: string[];
            /**
             * Max Length
             * @description Maximum tokens of a window, query included.
             */
            max_length?: number | null;
            /**
             * Max Query Tokens
             * @description Tokens of the query, from its two ends, that are read at most.
             */
            max_query_tokens?: number | null;
            /**
             * Max Tokens Per Doc
             * @description Tokens of a document, from its beginning, that are read at most.
             */
            max_tokens_per_doc?: number | null;
            /**
             * Min Probability
             * @description Drop results with a lower probability of relevance, 0 to 1.
             */
            min_probability?: number | null;
            /**
             * Min Score
             * @description Drop results with a lower score.
             */
            min_score?: number | null;
            /**
             * Mode
             * @description First-stage search: hybrid, bm25 or vector.
             * @default hybrid
             * @enum {string}
             */
            mode?: "hybrid" | "bm25" | "vector";
            /**
             * On Failure
             * @description If reranking fails: raise an error, or fallback to first-stage order.
             * @default raise
             * @enum {string}
             */
            on_failure?: "raise" | "fallback";
            /**
             * On Unsupported
             * @description If the model cannot follow instructions: raise an error, or ignore them.
             * @default raise
             * @enum {string}
             */
            on_unsupported?: "raise" | "ignore";
            /**
             * Passages
             * @description How window scores of a document combine: max, mean, first or top-N-mean.
             */
            passages?: string | null;
            /**
             * Pin
             * @description Ids of documents and passages that come first, found or not.
             * @default []
             */
            pin?: string[];
            /** Query */
            query: string;
            /**
             * Query Variants
             * @description Other wordings of the query, whose first stages are fused with its own.
             * @default []
             */
            query_variants?: string[];
            /**
             * Rerank
             * @description Whether to rerank, or the name of the reranker.
             * @default true
             */
            rerank?: boolean | string;
            /**
             * Rescore
             * @description Model that reads the candidates ranked first once more; auto (bundled-full after bundled, for questions, where the blend is the default one) or none.
             * @default auto
             */
            rescore?: string | null;
            /**
             * Rescore Weight
             * @description What a standard deviation of rescored scores adds at most, in those before.
             * @default 0.5
             */
            rescore_weight?: number;
            /**
             * Rescore Window
             * @description Candidates that are read with rescore, from the first.
             * @default 5
             */
            rescore_window?: number;
            /**
             * Return Documents
             * @description Whether results include their documents.
             * @default true
             */
            return_documents?: boolean;
            /**
             * Spans
             * @description Whether results have the sentences that answer, or threshold, max_spans, unit, max_results of those.
             * @default false
             */
            spans?: boolean | {
                max_results?: number;
                max_spans?: number;
                threshold?: number;
                /** @enum {string} */
                unit?: "sentence";
            };
            /**
             * Template
             * @description Template that turns fields into text, as in "{title} ({year}): {text}".
             */
            template?: string | null;
            /**
             * Timeout
             * @description Seconds allowed for each model; for a provider 30 if absent.
             */
            timeout?: number | null;
            /**
             * Top K
             * @description Number of results to return.
             * @default 5
             */
            top_k?: number;
            /**
             * Truncate
             * @description Whether to read a part of texts that are too long, or refuse them.
             * @default true
             */
            truncate?: boolean;
            /**
             * Unlike
             * @description Ids of documents that results should not be like; they are left out.
             * @default []
             */
            unlike?: string[];
            /**
             * Variant Scores
             * @description Read candidates with the first query, or with all, the best score counting: max.
             * @default first
             * @enum {string}
             */
            variant_scores?: "first" | "max";
            /**
             * Version
             * @description Search an earlier version of the index.
             */
            version?: number | null;
            /**
             * Weights
             * @description Fusion weights of BM25 and vector search, two numbers.
             */
            weights?: number[] | null;
        };
        /**
         * SearchConfiguration
         * @description How to search: the options of a search that hold for every query.
         */
        SearchConfiguration: {
            /**
             * Adaptive
             * @description Read neighbors of the best documents instead of the last candidates.
             * @default false
             */
            adaptive?: boolean;
            /**
             * Blend
             * @description Whether to blend first-stage scores in, or the weights of rerank, vector, bm25 and neighbors.
             * @default true
             */
            blend?: boolean | {
                [key: string]: number;
            };
            /**
             * Boost
             * @description What is added to scores, in standard deviations, as in "year >= 2024: +0.3".
             * @default []
             */
            boost?: (string | {
                decay?: number;
                field?: string;
                filter?: string;
                /** @enum {string} */
                function?: "linear" | "log" | "reciprocal" | "gauss" | "exp" | "equals";
                offset?: string | number;
                origin?: string | number | Record<string, unknown>;
                scale?: string | number;
                value?: string | number | boolean;
                weight: number;
            })[];
            /**
             * Budget Ms
             * @description Milliseconds for reranking; candidates beyond it are left unscored.
             */
            budget_ms?: number | null;
            /**
             * Budget Tokens
             * @description Tokens of documents that a local model reads for one query.
             * @default 65536
             */
            budget_tokens?: number;
            /**
             * Candidates
             * @description Number of first-stage candidates.
             * @default 50
             */
            candidates?: number;
            /**
             * Cascade
             * @description Let bundled-tiny rule out weak candidates before the reranker scores the rest.
             * @default false
             */
            cascade?: boolean;
            /**
             * Diversity
             * @description Trade relevance for diversity, from 0 to 1 (maximal marginal relevance).
             */
            diversity?: number | null;
            /**
             * Early Exit At
             * @description Stop reading candidates that cannot be among the first N, and return them unscored (precomputed rerankers).
             */
            early_exit_at?: number | null;
            /**
             * Feedback
             * @description Search again for words and vectors of so many of the best documents, once half of the candidates are read.
             */
            feedback?: number | null;
            /**
             * Fields
             * @description Document fields to read, in order, as in "title,text".
             */
            fields?: string[] | null;
            /**
             * Filter
             * @description SQL condition on metadata, as in "year >= 2015".
             */
            filter?: string | null;
            /**
             * Fusion
             * @description How hybrid search merges its rankings: rrf, weighted, weighted-z-score, dbsf.
             * @default rrf
             * @enum {string}
             */
            fusion?: "rrf" | "weighted" | "weighted-z-score" | "dbsf";
            /**
             * Group By
             * @description Return few results of one document ("document"), or of one value of this field.
             */
            group_by?: string | null;
            /**
             * Group Size
             * @description Results of one group, with group_by.
             * @default 1
             */
            group_size?: number;
            /**
             * Hide
             * @description Ids of documents and passages that are not returned.
             * @default []
             */
            hide?: string[];
            /**
             * Instructions
             * @description What the model should prefer, as in "prefer recent and internal documents".
             */
            instructions?: string | null;
            /**
             * Max Length
             * @description Maximum tokens of a window, query included.
             */
            max_length?: number | null;
            /**
             * Max Query Tokens
             * @description Tokens of the query, from its two ends, that are read at most.
             */
            max_query_tokens?: number | null;
            /**
             * Max Tokens Per Doc
             * @description Tokens of a document, from its beginning, that are read at most.
             */
            max_tokens_per_doc?: number | null;
            /**
             * Min Probability
             * @description Drop results with a lower probability of relevance, 0 to 1.
             */
            min_probability?: number | null;
            /**
             * Min Score
             * @description Drop results with a lower score.
             */
            min_score?: number | null;
            /**
             * Mode
             * @description First-stage search: hybrid, bm25 or vector.
             * @default hybrid
             * @enum {string}
             */
            mode?: "hybrid" | "bm25" | "vector";
            /**
             * On Failure
             * @description If reranking fails: raise an error, or fallback to first-stage order.
             * @default raise
             * @enum {string}
             */
            on_failure?: "raise" | "fallback";
            /**
             * On Unsupported
             * @description If the model cannot follow instructions: raise an error, or ignore them.
             * @default raise
             * @enum {string}
             */
            on_unsupported?: "raise" | "ignore";
            /**
             * Passages
             * @description How window scores of a document combine: max, mean, first or top-N-mean.
             */
            passages?: string | null;
            /**
             * Pin
             * @description Ids of documents and passages that come first, found or not.
             * @default []
             */
            pin?: string[];
            /**
             * Rerank
             * @description Whether to rerank, or the name of the reranker.
             * @default true
             */
            rerank?: boolean | string;
            /**
             * Rescore
             * @description Model that reads the candidates ranked first once more; auto (bundled-full after bundled, for questions, where the blend is the default one) or none.
             * @default auto
             */
            rescore?: string | null;
            /**
             * Rescore Weight
             * @description What a standard deviation of rescored scores adds at most, in those before.
             * @default 0.5
             */
            rescore_weight?: number;
            /**
             * Rescore Window
             * @description Candidates that are read with rescore, from the first.
             * @default 5
             */
            rescore_window?: number;
            /**
             * Template
             * @description Template that turns fields into text, as in "{title} ({year}): {text}".
             */
            template?: string | null;
            /**
             * Timeout
             * @description Seconds allowed for each model; for a provider 30 if absent.
             */
            timeout?: number | null;
            /**
             * Truncate
             * @description Whether to read a part of texts that are too long, or refuse them.
             * @default true
             */
            truncate?: boolean;
            /**
             * Variant Scores
             * @description Read candidates with the first query, or with all, the best score counting: max.
             * @default first
             * @enum {string}
             */
            variant_scores?: "first" | "max";
            /**
             * Version
             * @description Search an earlier version of the index.
             */
            version?: number | null;
            /**
             * Weights
             * @description Fusion weights of BM25 and vector search, two numbers.
             */
            weights?: number[] | null;
        };
        /**
         * Span
         * @description A span of the query, the title or the text, and what it adds to the score.
         *
         *     `contribution` is the score with the span less the score without it; `where` is "query",
         *     "title" or "text", `level` "sentence" or "word"; `start` and `end` are characters of
         *     that field.
         */
        Span: {
            /** Contribution */
            contribution: number;
            /** End */
            end: number;
            /** Level */
            level: string;
            /** Start */
            start: number;
            /** Text */
            text: string;
            /** Where */
            where: string;
        };
        /**
         * SpanBody
         * @description A sentence: [start, end) in the document's text, in Unicode code points.
         *
         *     `score` is its log-odds; `probability` is the chance that it answers, if a sentence of
         *     this document does.
         */
        SpanBody: {
            /** End */
            end: number;
            /** Probability */
            probability: number;
            /** Score */
            score: number;
            /** Start */
            start: number;
        };
        /**
         * StageRanks
         * @description The rank of a document among the candidates by each stage alone, from 1.
         *
         *     None where a stage has no score. `first` is the rank in the first pass, `final` the one
         *     in the results of a search.
         */
        StageRanks: {
            /** Bm25 */
            bm25: number | null;
            /** Candidates */
            candidates: number;
            /** Final */
            final: number;
            /** First */
            first: number | null;
            /** Reranker */
            reranker: number;
            /** Vector */
            vector: number | null;
        };
        /**
         * Stored
         * @description How many documents were stored: `empty` ones have no text and are not stored.
         */
        Stored: {
            /** Added */
            added: number;
            /** Empty */
            empty: number;
            /** Passages */
            passages: number;
            /** Unchanged */
            unchanged: number;
            /** Updated */
            updated: number;
        };
        /**
         * StoredFile
         * @description What a file gave: its documents, and how many of them were stored.
         *
         *     `empty` ones have no text and are not stored. `unread_characters` are those of documents
         *     that are too long; `skipped` says why rows could not be read, the first 20 of
         *     `skipped_rows`.
         */
        StoredFile: {
            /** Added */
            added: number;
            /** Documents */
            documents: number;
            /** Empty */
            empty: number;
            /** Passages */
            passages: number;
            /** Skipped */
            skipped: string[];
            /** Skipped Rows */
            skipped_rows: number;
            /** Unchanged */
            unchanged: number;
            /** Unread Characters */
            unread_characters: number;
            /** Updated */
            updated: number;
        };
        /**
         * StoredQuery
         * @description A query of a set.
         */
        StoredQuery: {
            /** Id */
            id: string;
            /** Text */
            text: string;
        };
        /**
         * TermScore
         * @description A word of the query, its count there, and what it adds to a passage's BM25.
         *
         *     `indexed` is False if no passage of the index has the word: a stop word, or unknown.
         */
        TermScore: {
            /** Count */
            count: number;
            /**
             * Indexed
             * @default true
             */
            indexed?: boolean;
            /** Score */
            score: number;
            /** Word */
            word: string;
        };
        /**
         * Usage
         * @description What a response cost.
         *
         *     - `documents`: how many the call had; `scored`: how many have the model's score, cached or
         *       not; `truncated`: how many were not read whole; `unread`: how many characters of theirs
         *       were not read.
         *     - `pairs`: how many (query, window) pairs models read; `tokens`: how many tokens those had,
         *       the query counted in each. A precomputed reranker counts the tokens that it encoded: the
         *       query once, and windows with a stored record not at all. A provider that does not report
         *       tokens has 0.
         *     - `requests`, `searches`, `cost`: of hosted models, the requests that succeeded, the
         *       searches that the provider billed, and US dollars by the table of prices, None where no
         *       price is known.
         */
        Usage: {
            /** Cost */
            cost?: number | null;
            /**
             * Documents
             * @default 0
             */
            documents?: number;
            /**
             * Pairs
             * @default 0
             */
            pairs?: number;
            /**
             * Requests
             * @default 0
             */
            requests?: number;
            /**
             * Scored
             * @default 0
             */
            scored?: number;
            /**
             * Searches
             * @default 0
             */
            searches?: number;
            /**
             * Tokens
             * @default 0
             */
            tokens?: number;
            /**
             * Truncated
             * @default 0
             */
            truncated?: number;
            /**
             * Unread
             * @default 0
             */
            unread?: number;
        };
        /**
         * VersionAbout
         * @description A state of an index, as it was after one write: its number, and when that was.
         */
        VersionAbout: {
            /**
             * Created
             * Format: date-time
             */
            created: string;
            /** Number */
            number: number;
        };
        /**
         * VersionList
         * @description The states that the search option `version` can name, oldest first.
         */
        VersionList: {
            /** Versions */
            versions: components["schemas"]["VersionAbout"][];
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    get_capabilities_api_v1_capabilities_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Capabilities"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    explain_score_api_v1_explain_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ExplainTextBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExplanationBody"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    list_indexes_api_v1_indexes_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IndexList"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    create_index_api_v1_indexes_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["IndexBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IndexAbout"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    get_index_api_v1_indexes__name__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IndexAbout"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    delete_index_api_v1_indexes__name__delete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["IndexAbout"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    answer_api_v1_indexes__name__answer_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["AnswerBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FullAnswer"];
                    "text/event-stream": string;
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    add_documents_api_v1_indexes__name__documents_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["DocumentsBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Stored"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    delete_documents_api_v1_indexes__name__documents_delete: {
        parameters: {
            query: {
                id: string[];
            };
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Deleted"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    explain_result_api_v1_indexes__name__explain_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ExplainBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExplanationBody"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    add_file_api_v1_indexes__name__files_post: {
        parameters: {
            query: {
                filename: string;
            };
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        /** @description The bytes of the file. */
        requestBody: {
            content: {
                "application/octet-stream": string;
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StoredFile"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    list_query_sets_api_v1_indexes__name__query_sets_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuerySetList"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    get_query_set_api_v1_indexes__name__query_sets__query_set__get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
                query_set: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FullQuerySet"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    put_query_set_api_v1_indexes__name__query_sets__query_set__put: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
                query_set: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["QuerySetBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuerySetAbout"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    delete_query_set_api_v1_indexes__name__query_sets__query_set__delete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
                query_set: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["QuerySetAbout"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    compare_api_v1_indexes__name__query_sets__query_set__comparison_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
                query_set: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ComparisonBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["ComparisonStart"] | components["schemas"]["ComparedQuery"] | components["schemas"]["ComparisonResult"] | components["schemas"]["Failure"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    judge_api_v1_indexes__name__query_sets__query_set__judgments_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
                query_set: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["JudgmentsBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JudgedQuery"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    get_qrels_api_v1_indexes__name__query_sets__query_set__qrels_get: {
        parameters: {
            query?: {
                /** @description TREC's four columns, or JSON lines for ids with white space. */
                format?: "trec" | "jsonl";
            };
            header?: never;
            path: {
                name: string;
                query_set: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    get_queries_api_v1_indexes__name__query_sets__query_set__queries_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
                query_set: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    search_api_v1_indexes__name__search_post: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SearchBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ranking"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    list_versions_api_v1_indexes__name__versions_get: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VersionList"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    models_api_v1_models_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ModelList"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
    rerank_api_v1_rerank_post: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RerankBody"];
            };
        };
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Ranking"];
                };
            };
            /** @description No answer, and why */
            default: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Failure"];
                };
            };
        };
    };
}
