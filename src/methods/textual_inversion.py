"""Textual Inversion: new words for the text encoders, and nothing else.

The file is what diffusers reads: `pipeline.load_textual_inversion(FILE)` where the base has one text encoder; of
several it holds each one's vectors under the names that others use for SDXL (clip_l, clip_g).
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AddedToken

from src.core.errors import ConfigError, ModelMismatchError
from src.methods.base import ParameterGroup
from src.methods.files import read_tensors
from src.models.base import QUANTIZED, BaseModel, text_encoders
from src.models.tensors import fill, save_tensors

WEIGHTS = "learned_embeds.safetensors"
PART = "text_encoder"
# what files for several encoders call them, in their order
SEVERAL = ("clip_l", "clip_g")
MAX_VECTORS, MAX_TOKEN_CHARACTERS = 64, 100
# what the vectors may be kept in
KEPT = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class NewWords(torch.nn.Module):
    """A token embedding with more rows, which may be trained while the others stay.

    Args:
        old: The embedding, (V, D).
        rows: The new rows, (N, D), float32.
    """

    def __init__(self, old: torch.nn.Embedding, rows: Tensor) -> None:
        super().__init__()
        self.old = old
        # after the old ones: the first parameter tells diffusers what the encoder is kept in
        self.added = torch.nn.ParameterList([rows])

    @property
    def rows(self) -> torch.nn.Parameter:
        """The new rows."""
        return self.added[0]

    @property
    def weight(self) -> Tensor:
        """All rows, (V + N, D)."""
        return torch.cat([self.old.weight, self.rows.to(self.old.weight)])

    def forward(self, ids: Tensor) -> Tensor:
        """Looks tokens up: (B, L) integers to (B, L, D)."""
        count = self.old.num_embeddings
        known = self.old(ids.clamp(max=count - 1))
        new = functional.embedding((ids - count).clamp(min=0), self.rows).to(known.dtype)
        return torch.where((ids >= count).unsqueeze(-1), new, known)


class TextualInversionMethod:
    """Learns the subject's token as new vectors of every text encoder that can be adapted.

    Paper: An Image is Worth One Word (Gal et al., 2022), arXiv:2208.01618.

    Args:
        token: The word, as it stands in captions.
        vectors: How many vectors it stands for, 1 to 64; each takes one of the text encoder's positions.
        initial: Words whose mean embedding each vector begins with.
        lr: Their learning rate; far larger than an adapter's.

    Raises:
        ConfigError: A value is out of range.
    """

    def __init__(self, token: str, vectors: int, initial: str, lr: float) -> None:
        if not 1 <= vectors <= MAX_VECTORS:
            raise ConfigError(f"method.vectors={vectors}: expected 1 to {MAX_VECTORS}")
        if not lr >= 0:
            raise ConfigError(f"method.lr={lr}: expected 0 or more")
        self.trains_text, self.needs_fp32, self.quantized_bases = True, False, QUANTIZED
        self.token, self.vectors, self.initial, self.lr = token, vectors, initial, lr
        self._begin: dict[str, Tensor] = {}

    def attach(self, model: BaseModel, seed: int) -> list[ParameterGroup]:  # noqa: ARG002
        """Adds the words; see Method."""
        self._begin = {}
        if self.vectors > 1 and not hasattr(model.pipeline, "maybe_convert_prompt"):
            raise ConfigError(f"method.vectors={self.vectors}: this base model reads one vector a word; expected 1")
        for name, encoder in text_encoders(model).items():
            ids = _tokenizer(model, name)(self.initial, add_special_tokens=False)["input_ids"]
            if not ids:
                raise ConfigError(f"method.initial={self.initial!r}: expected a word")
            mean = encoder.get_input_embeddings().weight[ids].float().mean(0)
            self._begin[name] = mean.expand(self.vectors, -1).clone()
        _put_on(model, self.token, self._begin)
        rows = {f"{name}.new_words": words.rows for name, words in _new_words(model).items()}
        for parameter in rows.values():
            parameter.requires_grad_(True)
        return [ParameterGroup(PART, rows, self.lr)]

    def only_part(self, model: BaseModel, part: str | None) -> AbstractContextManager[None]:
        """Puts the words that it began with back for another part; see Method."""
        return nullcontext() if part == PART else self._as_begun(model)

    @contextmanager
    def _as_begun(self, model: BaseModel) -> Iterator[None]:
        words = _new_words(model)
        learnt = {name: entry.rows.data for name, entry in words.items()}
        for name, entry in words.items():
            entry.rows.data = self._begin[name].to(learnt[name])
        try:
            yield
        finally:
            for name, entry in words.items():
                entry.rows.data = learnt[name]

    def save(self, model: BaseModel, folder: Path) -> None:
        """Writes the vectors; see Method."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = [words.rows for words in _new_words(model).values()]
        names = (self.token,) if len(rows) == 1 else SEVERAL
        save_tensors(folder / WEIGHTS, dict(zip(names, rows, strict=True)), {"token": self.token})

    def start(self, model: BaseModel, folder: Path) -> None:
        """Takes saved vectors; see Method."""
        token, rows = read_words(folder, model)
        if token != self.token:
            raise ModelMismatchError(f"{folder / WEIGHTS}: the token is {token!r}, `method` trains {self.token!r}")
        own = {name: words.rows for name, words in _new_words(model).items()}
        fill(own, rows, f"{folder / WEIGHTS}: {{}} tensors differ from what `method` trains, first {{}}")


class TextualInversionFormat:
    """A file of vectors; see AdapterFormat."""

    files = (WEIGHTS,)

    def check_file(self, folder: Path) -> None:
        """Reads the file; see AdapterFormat."""
        read_file(folder)

    def check_fit(self, model: BaseModel, folder: Path) -> None:
        """Compares widths; see AdapterFormat."""
        read_words(folder, model)

    @contextmanager
    def applied(self, model: BaseModel, folder: Path) -> Iterator[None]:
        """Adds the words; see AdapterFormat."""
        token, rows = read_words(folder, model)
        tokenizers = {name: _tokenizer(model, name) for name in rows}
        ends = [(part, part.eos_token_id) for encoder in text_encoders(model).values() for part in _poolers(encoder)]
        try:
            _put_on(model, token, rows)
            yield
        finally:
            for name, words in _new_words(model).items():
                text_encoders(model)[name].set_input_embeddings(words.old)
            for name, tokenizer in tokenizers.items():
                setattr(model.pipeline, _tokenizer_name(name), tokenizer)
            for part, end in ends:
                part.eos_token_id = end

    def changes(self, model: BaseModel, folder: Path) -> dict[str, Tensor]:  # noqa: ARG002
        """Returns nothing: words are added, no weight is changed; see AdapterFormat."""
        return {}


def read_file(folder: Path) -> tuple[str, dict[str, Tensor]]:
    """Reads saved vectors.

    Args:
        folder: A checkpoint folder.

    Returns:
        The token, and what the file holds.

    Raises:
        ModelMismatchError: The file is missing, damaged or far too large, or holds something else.
    """
    path, (tensors, header) = folder / WEIGHTS, read_tensors(folder, WEIGHTS)
    token = header.get("token", "" if set(tensors) & set(SEVERAL) else next(iter(tensors), ""))
    sizes = {tensor.shape[0] if tensor.ndim == 2 else 0 for tensor in tensors.values()}
    if not 0 < len(token) <= MAX_TOKEN_CHARACTERS or len(sizes) != 1 or not 1 <= max(sizes) <= MAX_VECTORS:
        raise ModelMismatchError(f"{path}: holds no vectors of one token, at most {MAX_VECTORS}")
    if odd := sorted(name for name, tensor in tensors.items() if not _is_finite(tensor)):
        raise ModelMismatchError(f"{path}: {odd[0][:80]!r} holds something else than finite floating point numbers")
    return token, tensors


def _is_finite(tensor: Tensor) -> bool:
    return tensor.dtype in KEPT and bool(torch.isfinite(tensor).all())


def read_words(folder: Path, model: BaseModel) -> tuple[str, dict[str, Tensor]]:
    """Reads saved vectors for a base model.

    Args:
        folder: A checkpoint folder.
        model: The base.

    Returns:
        The token, and its rows for each text encoder, (N, D).

    Raises:
        ModelMismatchError: They are of another base model.
    """
    token, tensors = read_file(folder)
    encoders = text_encoders(model)
    names = (token,) if len(encoders) == 1 else SEVERAL
    if set(tensors) != set(names):
        raise ModelMismatchError(
            f"{folder / WEIGHTS}: has {sorted(tensors)[0][:80]!r}, expected {' and '.join(names)!r}"
        )
    rows = dict(zip(encoders, (tensors[name] for name in names), strict=True))
    for name, encoder in encoders.items():
        width = encoder.get_input_embeddings().weight.shape[1]
        if rows[name].shape[1] != width:
            raise ModelMismatchError(
                f"{folder / WEIGHTS}: vectors of {rows[name].shape[1]} numbers, the base model's {name} has {width}; "
                "they were trained on another base model"
            )
    return token, rows


def _put_on(model: BaseModel, token: str, rows: Mapping[str, Tensor]) -> None:
    for name, encoder in text_encoders(model).items():
        old = encoder.get_input_embeddings()
        tokenizer = copy.deepcopy(_tokenizer(model, name))
        # diffusers writes token, token_1, token_2 for a word of several vectors
        words = [token, *(f"{token}_{number}" for number in range(1, len(rows[name])))]
        if tokenizer.get_vocab().keys() & set(words):
            raise ConfigError(f"subject.token={token!r}: {name} has this word already; take a rarer one")
        if len(tokenizer) != old.weight.shape[0]:
            raise ModelMismatchError(
                f"{name} has {old.weight.shape[0]} vectors and its tokenizer {len(tokenizer)} words: expected as many"
            )
        # as written, and not inside of longer words
        tokenizer.add_tokens([AddedToken(word, single_word=True, normalized=False) for word in words])
        encoder.set_input_embeddings(NewWords(old, rows[name].float().to(old.weight.device, copy=True)))
        setattr(model.pipeline, _tokenizer_name(name), tokenizer)
        for part in _poolers(encoder):
            # older configurations take the largest number of a text for its end, which a new word now is
            part.eos_token_id = tokenizer.eos_token_id


def _poolers(encoder: torch.nn.Module) -> list[Any]:
    return [part for part in encoder.modules() if hasattr(part, "eos_token_id")]


def _new_words(model: BaseModel) -> dict[str, NewWords]:
    found = {name: encoder.get_input_embeddings() for name, encoder in text_encoders(model).items()}
    return {name: words for name, words in found.items() if isinstance(words, NewWords)}


def _tokenizer(model: BaseModel, encoder: str) -> Any:
    return getattr(model.pipeline, _tokenizer_name(encoder))


def _tokenizer_name(encoder: str) -> str:
    return encoder.replace("text_encoder", "tokenizer")
