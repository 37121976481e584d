# SPDX-License-Identifier: Apache-2.0
"""Text as it is generated: what generate(streamer=...) takes."""

import queue
import unicodedata

from .. import _core


class TextStreamer:
    """Prints the text of generate() while it is made, a word at a time. One text, not a batch."""

    def __init__(self, tokenizer, skip_prompt: bool = False, **decode_arguments):
        self.tokenizer = tokenizer
        self.skip_prompt = skip_prompt
        self.decode_arguments = decode_arguments
        self._reset()

    def _reset(self) -> None:
        self._ids: list[int] = []
        self._shown = 0  # characters
        self._is_prompt = True

    def put(self, tokens) -> None:
        """Takes the prompt [1, tokens], then tokens [1]."""
        if len(tokens.shape) > 1 and tokens.shape[0] > 1 or tokens.numel() == 0:
            raise _core.ValueError(
                f"TextStreamer: {tuple(tokens.shape)} is no single text; generate without streamer"
            )
        was_prompt, self._is_prompt = self._is_prompt, False
        if was_prompt and self.skip_prompt:
            return
        self._ids += tokens.reshape(-1).tolist()
        text = self.tokenizer.decode(self._ids, **self.decode_arguments)
        # A word may still grow or lose the space before it; letters of scripts without spaces
        # are whole.
        if text and unicodedata.category(text[-1]) == "Lo":
            end = len(text)
        else:
            end = max(text.rfind(" "), text.rfind("\n")) + 1
        if end > self._shown:
            self.on_finalized_text(text[self._shown : end])
            self._shown = end

    def end(self) -> None:
        """Shows the rest."""
        text = self.tokenizer.decode(self._ids, **self.decode_arguments)
        rest = text[self._shown :]
        self._reset()
        self.on_finalized_text(rest, stream_end=True)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """What to do with a piece of text; prints it."""
        print(text, end="\n" if stream_end else "", flush=True)


class TextIteratorStreamer(TextStreamer):
    """Gives the text of a generate() that runs in another thread: `for piece in streamer`."""

    def __init__(
        self, tokenizer, skip_prompt: bool = False, timeout: float | None = None, **decode_arguments
    ):
        super().__init__(tokenizer, skip_prompt, **decode_arguments)
        self.timeout = timeout
        self._pieces: queue.Queue = queue.Queue()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Puts a piece of text in the queue."""
        self._pieces.put(text)
        if stream_end:
            self._pieces.put(None)

    def __iter__(self):
        return self

    def __next__(self) -> str:
        piece = self._pieces.get(timeout=self.timeout)
        if piece is None:
            raise StopIteration
        return piece
