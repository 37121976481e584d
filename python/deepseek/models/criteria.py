# SPDX-License-Identifier: Apache-2.0
"""Classes that generate() takes functions as, under transformers' names."""


class StoppingCriteria:
    """Tells after every token which sequences end."""

    def __call__(self, input_ids, scores, **kwargs):
        """True for all, or a tensor or list with one for each of the sequences [rows, tokens].
        scores: None."""
        raise NotImplementedError("StoppingCriteria: a subclass defines __call__")


class StoppingCriteriaList(list):
    """Several criteria, each of which may end a sequence."""


class LogitsProcessor:
    """Changes the scores that the next token is chosen by."""

    def __call__(self, input_ids, scores):
        """Scores [rows, vocabulary] for sequences [rows, tokens]."""
        raise NotImplementedError("LogitsProcessor: a subclass defines __call__")


class LogitsProcessorList(list):
    """Several, each of which gets what the one before returned."""
