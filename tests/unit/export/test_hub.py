"""The upload: a stand-in for huggingface_hub's client records the calls; the token's absence is found first."""

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError

from vlaa_ray.errors import ConfigError, VlaaRayError
from vlaa_ray.export.hub import push, require_push


class FakeHub:
    def __init__(self, error=None):
        self.calls, self.error = [], error

    def create_repo(self, repo_id, **options):
        self.calls.append(("create", repo_id, options))
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(self, **options):
        if self.error:
            raise self.error
        self.calls.append(("upload", options.pop("repo_id"), options))


def test_a_new_repository_is_private_and_gets_the_whole_folder_in_one_commit(tmp_path):
    hub = FakeHub()
    assert push(tmp_path, "me/model", api=hub) == "https://huggingface.co/me/model"
    create, upload = hub.calls
    assert create == ("create", "me/model", {"private": True, "repo_type": "model", "exist_ok": True})
    assert upload[:2] == ("upload", "me/model") and upload[2]["folder_path"] == tmp_path


def test_a_public_one_must_be_asked_for(tmp_path):
    hub = FakeHub()
    push(tmp_path, "me/model", public=True, api=hub)
    assert hub.calls[0][2]["private"] is False


@pytest.mark.parametrize(
    "error",
    [
        HfHubHTTPError("403 Forbidden", response=httpx.Response(403, request=httpx.Request("PUT", "https://x"))),
        httpx.ConnectError("refused"),
        OSError("no route"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refusal_is_one_typed_error_that_says_how_to_go_on(tmp_path, error):
    with pytest.raises(VlaaRayError, match="the hub did not take the model") as raised:
        push(tmp_path, "me/model", api=FakeHub(error))
    assert f"hf upload me/model {tmp_path}" in raised.value.fix


def test_name_and_token_are_checked_before_any_work(monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(ConfigError, match="no token"):
        require_push("me/model")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
    require_push("me/model")
    with pytest.raises(ConfigError, match="not the name of a repository"):
        require_push("me/model/too/deep")
