"""Text towers: token ids in, one feature vector a text out. Each has ``width`` and ``backbone``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onlooker.encoders.config import PACKAGE, RANDOM, TextTowerConfig
from onlooker.encoders.pooling import AttentionPooling, masked_mean
from onlooker.encoders.pretrained import load_pretrained, minilm_folder
from onlooker.errors import ConfigError


class TextTower(nn.Module):
    """Base of the text towers.

    Attributes:
        backbone: The pretrained network; LoRA adapters go here.
        width: Channels of the feature vector.
    """

    backbone: nn.Module
    width: int

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode token ids, int64 [n, tokens], and their mask to features, float [n, self.width]."""
        raise TypeError(f"{type(self).__name__} has no forward")


class TransformerTextTower(TextTower):
    """DistilBERT or MiniLM in the Hugging Face form, pooled to one vector, with optional layers of its own on top."""

    def __init__(self, config: TextTowerConfig, saved: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.backbone = _backbone(config, saved)
        if config.rounded and saved is None:
            round_weights(self.backbone)
        settings: Any = self.backbone.config
        hidden = settings.hidden_size
        self.pooling = config.pooling
        self.extra: nn.TransformerEncoder | None = None
        if config.extra_layers:
            layer = nn.TransformerEncoderLayer(
                hidden,
                nhead=6 if hidden % 6 == 0 else 4,
                dim_feedforward=2 * hidden,
                activation="gelu",
                batch_first=True,
            )
            self.extra = nn.TransformerEncoder(layer, config.extra_layers, enable_nested_tensor=False)
        self.hidden = hidden
        self.attention = AttentionPooling(hidden, config.queries) if config.pooling == "attention" else None
        self.width = hidden + (self.attention.out_width if self.attention is not None else 0)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode; see the base class."""
        return self.pool(self.states(input_ids, attention_mask), attention_mask)

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return a state for each token, float [n, tokens, hidden]."""
        states: Tensor = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.extra is not None:
            states = self.extra(states, src_key_padding_mask=attention_mask == 0)
        return states

    def layers(self, input_ids: Tensor, attention_mask: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return the states after the pretrained network's layer ``number`` (0: embeddings), and ``states``."""
        found = self.backbone(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        states: Tensor = found.last_hidden_state
        if self.extra is not None:
            states = self.extra(states, src_key_padding_mask=attention_mask == 0)
        return found.hidden_states[number], states

    def pool(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Pool the tokens' states to one feature vector a text, float [n, self.width]."""
        if self.pooling == "first":
            return states[:, 0]
        mean = masked_mean(states, attention_mask)
        if self.attention is None:
            return mean
        return torch.cat([mean, self.attention(states, attention_mask)], dim=1)


class ClipTextTower(TextTower):
    """The text half of a Hugging Face CLIP checkpoint."""

    def __init__(self, text_model: nn.Module) -> None:
        super().__init__()
        self.backbone = text_model
        settings: Any = text_model.config
        self.width = settings.hidden_size

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode; see the base class."""
        features: Tensor = self.backbone(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return features


def _backbone(config: TextTowerConfig, saved: dict[str, Any] | None) -> nn.Module:
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

    backbone: nn.Module
    if config.kind == "distilbert":
        if saved is not None or config.weights == RANDOM:
            backbone = DistilBertModel(DistilBertConfig(**(saved or {})))
        else:
            backbone = load_pretrained(DistilBertModel, config.weights)
    elif saved is not None:
        backbone = BertModel(BertConfig(**saved), add_pooling_layer=False)
    elif config.weights == RANDOM:
        backbone = BertModel(BertConfig.from_pretrained(minilm_folder()), add_pooling_layer=False)
    else:
        source = minilm_folder() if config.weights == PACKAGE else config.weights
        backbone = load_pretrained(BertModel, source, add_pooling_layer=False)
    return _shortened(backbone, config.layers)


def _shortened(backbone: nn.Module, layers: int | None) -> nn.Module:
    """Leave away the highest layers; the settings that a checkpoint keeps say so."""
    if layers is None:
        return backbone
    whole: Any = backbone
    holder = whole.transformer if hasattr(whole, "transformer") else whole.encoder
    if layers > len(holder.layer):
        raise ConfigError(f"text.layers = {layers}, but this network has {len(holder.layer)}")
    holder.layer = holder.layer[:layers]
    key = "n_layers" if hasattr(whole.config, "n_layers") else "num_hidden_layers"
    setattr(whole.config, key, layers)
    return backbone


@torch.no_grad()
def round_weights(network: nn.Module) -> None:
    """Round every matrix and embedding to 255 steps a row, in place.

    Adapters that are trained on top learn to live with it, as in QLoRA (Dettmers et al., 2023), there with 16 levels.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            steps = module.weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
            module.weight.copy_((module.weight / steps).round() * steps)


def tokenizer_file(config: TextTowerConfig) -> Path:
    """Return the ``tokenizer.json`` that goes with a text tower.

    Random weights take the WordPiece vocabulary of all-MiniLM-L6-v2, which is BERT's uncased one, as DistilBERT's is.

    Args:
        config: The text tower.

    Raises:
        ConfigError: A folder or hub name without a fast tokenizer.
    """
    if config.weights in (PACKAGE, RANDOM):
        return minilm_folder() / "tokenizer.json"
    folder = Path(config.weights)
    if (folder / "tokenizer.json").is_file():
        return folder / "tokenizer.json"
    from transformers import AutoTokenizer

    cache = _cache_folder(config.weights)
    load_pretrained(AutoTokenizer, config.weights).save_pretrained(cache)
    if not (cache / "tokenizer.json").is_file():
        raise ConfigError(
            f"{config.weights}: its tokenizer cannot be written as tokenizer.json; give a checkpoint with one"
        )
    return cache / "tokenizer.json"


def pad_token_of(tokenizer: Path) -> str:
    """Return the token that pads shorter texts: BERT's, or CLIP's end token, which its checkpoints pad with.

    Args:
        tokenizer: A ``tokenizer.json``.

    Raises:
        ConfigError: It knows neither.
    """
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(tokenizer))
    for token in ("[PAD]", "<|endoftext|>", "<pad>"):
        if loaded.token_to_id(token) is not None:
            return token
    raise ConfigError(f"{tokenizer}: no padding token known here ([PAD], <|endoftext|>, <pad>)")


def _cache_folder(name: str) -> Path:
    root = Path.home() / ".cache" / "onlooker" / "tokenizers"
    return root / name.replace("/", "--")
