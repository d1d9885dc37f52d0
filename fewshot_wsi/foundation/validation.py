"""Values of config files, checked by pydantic; the first fault becomes one line."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.keys import nearest_known

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Any, where: object) -> Model:
    """Instance of the pydantic class `model` from the dict `values`, its lists made tuples.

    UserError names the place (`where`), the key, and what is expected.
    """
    try:
        return model.model_validate({key: _frozen(value) for key, value in values.items()})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = str(fault["loc"][0]) if fault["loc"] else ""
        if fault["type"] == "missing" and key not in values:
            raise UserError(f"{where}: the key {key!r} is missing") from None
        if fault["type"] == "extra_forbidden":
            raise UserError(f"{where}: unknown key {key!r}{nearest_known(key, model.model_fields)}") from None
        place = f"{key} = {values.get(key)!r}: " if key else ""
        raise UserError(f"{where}: {place}{fault['msg']}") from None


def _frozen(value):
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
