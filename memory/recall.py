"""The statement that finds what is relevant in a network's memory. Pure: the API and the engine share it.

Words are matched by PostgreSQL full text. A query whose words all occur in some item is taken at its word
(websearch syntax: "phrases", -exclusions, or); when no item satisfies it, any of its words will do, so that
a whole sentence still finds what it is about. Rank × confidence × recency orders what is found.
"""

from typing import Any

# A month halves the advantage of being new, never more than half of the score.
_STATEMENT = """
WITH asked AS MATERIALIZED (
    SELECT websearch_to_tsquery('english', %(query)s::text) AS strict,
           (SELECT string_agg('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | ')
            FROM unnest(to_tsvector('english', %(query)s::text)))::tsquery AS loose
), live AS NOT MATERIALIZED (
    SELECT * FROM memory_memoryitem
    WHERE network_id = %(network_id)s::text AND superseded_at IS NULL
      AND (expires_at IS NULL OR expires_at > now()){filters}
), chosen AS MATERIALIZED (
    SELECT CASE WHEN EXISTS (SELECT 1 FROM live WHERE search @@ asked.strict)
                THEN strict ELSE loose END AS words
    FROM asked
), found AS (
    SELECT live.*,
           CASE WHEN %(query)s::text = '' THEN 1 ELSE ts_rank_cd(search, words, 1 | 32) END
           * confidence
           * (0.5 + 0.5 * power(0.5, extract(epoch FROM now() - created_at) / 2592000.0)) AS score
    FROM (
        SELECT live.*, words FROM live, chosen WHERE %(query)s::text = '' OR search @@ words
        ORDER BY id DESC LIMIT {candidates}
    ) AS live
)
SELECT {columns} FROM found {tail}
"""

# Ranking reads every candidate; the newest are ranked when there are more than this.
_RANKED_BY_ENGINE = 300
_RANKED_BY_SEARCH = 10_000

_RECALLED = "id, type, content, confidence, source, source_agent_id, trusted, created_at, score"
_BEST_FIRST = "ORDER BY score DESC, id DESC"

#: Parameters: network_id, query, limit. An empty query returns the most recent and most certain items.
RECALL_SQL = _STATEMENT.format(
    candidates=_RANKED_BY_ENGINE, filters="", columns=_RECALLED, tail=f"{_BEST_FIRST} LIMIT %(limit)s::int"
)

_FILTERS = {
    "type": "type = %(type)s",
    "source": "source = %(source)s",
    "min_confidence": "confidence >= %(min_confidence)s",
}


def recall_params(*, network_id: str, query: str, limit: int) -> dict[str, Any]:
    """The parameters of `RECALL_SQL`."""
    return {"network_id": network_id, "query": query.strip(), "limit": limit}


def search_sql(filters: set[str]) -> str:
    """A page of ids with their scores. Further parameters: offset, and one for each of `filters`."""
    return _STATEMENT.format(
        candidates=_RANKED_BY_SEARCH,
        filters=_conditions(filters),
        columns="id, score",
        tail=f"{_BEST_FIRST} LIMIT %(limit)s::int OFFSET %(offset)s::int",
    )


def count_sql(filters: set[str]) -> str:
    """How many items a search finds, counted no further than %(limit)s."""
    inner = _STATEMENT.format(
        candidates=_RANKED_BY_SEARCH, filters=_conditions(filters), columns="1", tail="LIMIT %(limit)s::int"
    )
    return f"SELECT count(*) FROM ({inner}) AS counted"  # noqa: S608  (constants only)


def _conditions(filters: set[str]) -> str:
    return "".join(f" AND {_FILTERS[name]}" for name in sorted(filters))
