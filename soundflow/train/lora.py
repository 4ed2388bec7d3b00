"""Low-rank adapters (Hu et al., 2021) on chosen layers, by the library ``peft``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from soundflow.errors import not_installed
from soundflow.train.recipe import LoraConfig


def linear_layers(model: nn.Module) -> list[str]:
    """The layers that an adapter can be put on."""
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]


def add_adapters(model: nn.Module, config: LoraConfig, layers: Sequence[str]) -> None:
    """Puts an adapter on each of ``layers``. B starts at zero: the model computes what it did.

    Only the adapters are trained afterwards.

    Raises:
        UserError: if ``peft`` is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise not_installed("peft (stage.lora)", "lora") from error
    chosen = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, target_modules=list(layers), lora_dropout=0.0
    )
    peft.inject_adapter_in_model(chosen, model)


def merge_adapters(model: nn.Module) -> None:
    """Adds every adapter to its matrix and takes it away."""
    for name, layer in list(model.named_modules()):
        if hasattr(layer, "get_base_layer") and hasattr(layer, "merge"):
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())
