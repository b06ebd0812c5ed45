"""The families by the models that a study names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpo.errors import HpoError, ModelError
from hpo.models.built import BuiltFamily
from hpo.models.cnn import Cnn
from hpo.models.families import Family, Signature
from hpo.models.mlp import Mlp
from hpo.own import file_of, given_names, own_function, told
from hpo.spec import OwnModel
from hpo.spec.own_code import GIVEN

# The networks that hpo builds.
FAMILIES: dict[str, Callable[[Signature], Family]] = {"mlp": Mlp, "cnn": Cnn}


def family_of(model: str | OwnModel, signature: Signature) -> Family:
    """The family of a study's model for such data.

    Raises:
        ModelError: a person's own cannot be had.
    """
    return own_family(model, signature) if isinstance(model, OwnModel) else FAMILIES[model](signature)


def own_family(model: OwnModel, signature: Signature) -> BuiltFamily:
    """The family of a person's own model.

    Raises:
        ModelError: its function cannot be had.
    """
    function, file, place = own_function(model), file_of(model), str(model)
    given = given_names(model, GIVEN)

    def built(**arguments: Any) -> Any:
        try:
            return function(**arguments)
        except HpoError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(place, "must build a model", got=told(error, file)) from error

    return BuiltFamily(signature, built, (*model.takes, *given), place=place)
