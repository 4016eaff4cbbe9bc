"""Rerankers that prompt a language model: listwise, setwise, pairwise and pointwise."""

from __future__ import annotations

from secondpass.rerank.llm.listwise import Listwise
from secondpass.rerank.llm.pairwise import Pairwise
from secondpass.rerank.llm.pointwise import Pointwise
from secondpass.rerank.llm.prompts import PromptTemplate
from secondpass.rerank.llm.setwise import Setwise

__all__ = ["Listwise", "Pairwise", "Pointwise", "PromptTemplate", "Setwise"]
