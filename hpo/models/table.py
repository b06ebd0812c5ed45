"""The families by the models that a study names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpo.errors import HpoError, ModelError
from hpo.models.built import BuiltFamily
from hpo.models.families import Family, Signature
from hpo.models.mlp import Mlp
from hpo.own import own_file, own_function, told
from hpo.spec import OwnModel
from hpo.spec.own_code import GIVEN, read_function

# The networks that hpo builds.
FAMILIES: dict[str, Callable[[Signature], Family]] = {"mlp": Mlp}


def family_of(model: str | OwnModel, signature: Signature) -> Family:
    """The family of a study's model for such data.

    Raises:
        ModelError: a person's own cannot be had.
    """
    return _own(model, signature) if isinstance(model, OwnModel) else FAMILIES[model](signature)


def _own(model: OwnModel, signature: Signature) -> Family:
    function, (path, _) = own_function(model), own_file(model)
    read = read_function(path, model.function)
    given = [name for name in GIVEN if name in (*read.required, *read.defaults)]
    place = f"{path.name}: {model.function}"

    def built(**arguments: Any) -> Any:
        try:
            return function(**arguments)
        except HpoError:
            raise
        except Exception as error:
            raise ModelError(place, "must build a model", got=told(error, path)) from error

    return BuiltFamily(signature, built, (*model.takes, *given), place=place)
