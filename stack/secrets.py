"""The passwords of one data folder: made once, kept in a file that only its owner reads."""

import json
import secrets as random_source
from uuid import uuid4

from pydantic import SecretStr

from stack.files import read_text, write_private
from stack.models import Frozen, StackPaths


class StackSecrets(Frozen):
    """One password for the superuser and one for each role; `instance_id` names this folder."""

    instance_id: str
    superuser: SecretStr
    owner: SecretStr
    app: SecretStr
    follower: SecretStr
    maint: SecretStr


_PASSWORDS = ("superuser", "owner", "app", "follower", "maint")


def load_or_create(paths: StackPaths) -> StackSecrets:
    """Read secrets.json, or write it with new passwords.

    Call it under the data folder's lock, or after a start: two first calls at once would race.
    """
    text = read_text(paths.secrets)
    if text is None:
        values = {name: random_source.token_urlsafe(24) for name in _PASSWORDS}
        text = json.dumps({"instance_id": uuid4().hex, **values}, indent=1)
        paths.data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_private(paths.secrets, text)
    return StackSecrets.model_validate_json(text)
