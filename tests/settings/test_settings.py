"""Settings: typing mistakes are caught, each value knows its origin, production starts only when safe."""

import os
from pathlib import Path

import pytest
from muster.settings import (
    OF_OTHERS,
    Settings,
    SettingsRefused,
    load_settings,
    production_refusals,
    refusals,
    shown,
)

LONG = "a-token-nobody-can-guess-0123456789"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MUSTER_", "DATAVIZHUB_", "STEPFLOW_"))]:
        monkeypatch.delenv(name)


def problems_of(**flags: object) -> tuple[str, ...]:
    with pytest.raises(SettingsRefused) as refused:
        load_settings(**flags)
    return refused.value.problems


def test_a_misspelt_variable_is_an_error_with_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_CLIENT_TOKN", "x")
    assert problems_of() == ("MUSTER_CLIENT_TOKN is not a setting. Did you mean MUSTER_CLIENT_TOKEN?",)


def test_a_variable_like_no_setting_points_to_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_ZZZZZZ", "x")
    assert problems_of() == ("MUSTER_ZZZZZZ is not a setting. `muster config show` lists all settings.",)


def test_a_value_that_does_not_fit_is_named_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "80800")
    assert problems_of() == ("MUSTER_PORT=80800 is not valid: must be at most 65535   from the environment",)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MUSTER_MODE", "prod", "must be 'development' or 'production'"),
        ("MUSTER_PORT", "http", "must be a whole number"),
        ("MUSTER_PORT", "-1", "must be at least 0"),
        ("MUSTER_LEASE_SECONDS", "soon", "must be a number"),
        ("MUSTER_RELOAD", "maybe", "must be true or false"),
        ("MUSTER_REDIS_URL", "http://there", "must start with redis://"),
    ],
)
def test_reasons_are_given_in_plain_words(monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str) -> None:
    monkeypatch.setenv(name, value)
    (problem,) = problems_of()
    assert problem.startswith(f"{name}=")
    assert f"is not valid: {reason}" in problem


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "x")
    monkeypatch.setenv("MUSTER_MODE", "x")
    assert len(problems_of()) == 2


def test_a_wrong_flag_is_called_a_flag() -> None:
    assert problems_of(port=99999) == ("--port 99999 is not valid: must be at most 65535   from the command line",)


def test_variables_of_the_sdk_and_of_other_programs_are_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*OF_OTHERS, "MUSTER_SERVICE_HOST", "MUSTER_PORT_8080_TCP_ADDR", "DATAVIZHUB_API_KEY"]:
        if name != "MUSTER_CLIENT_TOKEN_FILE":
            monkeypatch.setenv(name, "http://127.0.0.1:8080")
    assert load_settings().port == 8080


def test_the_port_variable_of_a_kubernetes_service_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "tcp://10.0.0.1:8080")
    assert "enableServiceLinks: false" in problems_of()[0]


def test_a_flag_wins_over_the_environment_and_that_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "9000")
    monkeypatch.setenv("MUSTER_HOST", "::1")
    settings = load_settings(port=9001, mode=None)
    assert (settings.port, settings.host, settings.mode) == (9001, "::1", "development")
    assert [settings.origin(name) for name in ("port", "host", "mode")] == ["flag", "environment", "default"]


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "")
    settings = load_settings()
    assert (settings.port, settings.origin("port")) == (8080, "default")


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_BLUEPRINTS", "blueprints/a.py, shop.orders,")
    assert load_settings().blueprints == ("blueprints/a.py", "shop.orders")


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{LONG}\n")
    monkeypatch.setenv("MUSTER_CLIENT_TOKEN_FILE", str(tmp_path / "token"))
    settings = load_settings()
    assert settings.client_token is not None
    assert settings.client_token.get_secret_value() == LONG
    assert settings.origin("client_token") == "file"


def test_a_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(LONG)
    monkeypatch.setenv("MUSTER_SECRET_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("MUSTER_SECRET", LONG)
    assert problems_of() == ("MUSTER_SECRET and MUSTER_SECRET_FILE are both set. Keep one of them.",)


def test_a_secret_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUSTER_SECRET_FILE", str(tmp_path / "gone"))
    assert f"MUSTER_SECRET_FILE={tmp_path / 'gone'} cannot be read" in problems_of()[0]


def test_no_secret_is_ever_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_CLIENT_TOKEN", LONG)
    monkeypatch.setenv("MUSTER_REDIS_URL", "rediss://user:hunter2@db:6380/1")
    settings = load_settings()
    text = repr(settings) + "".join(shown(settings, name) for name in Settings.model_fields)
    assert LONG not in text
    assert "hunter2" not in text
    assert shown(settings, "redis_url") == "rediss://user:(hidden)@db:6380/1"


def test_a_password_in_a_wrong_address_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_REDIS_URL", "http://user:hunter2@db")
    assert "hunter2" not in problems_of()[0]


def test_every_setting_says_what_it_means() -> None:
    silent = [name for name, field in Settings.model_fields.items() if not field.description]
    assert silent == []


def test_development_is_for_this_machine_only() -> None:
    assert refusals(Settings()) == []
    (refusal,) = refusals(Settings(host="0.0.0.0"))
    assert "MUSTER_HOST=0.0.0.0" in refusal
    assert "MUSTER_MODE=production" in refusal


def test_the_listener_of_the_monitor_is_for_this_machine_only_too() -> None:
    assert refusals(Settings(stepflow_ws_host="0.0.0.0")) == []
    assert refusals(Settings(stepflow_ws_host="127.0.0.1", stepflow_ws_port=8765)) == []
    (refusal,) = refusals(Settings(stepflow_ws_host="0.0.0.0", stepflow_ws_port=8765))
    assert "MUSTER_STEPFLOW_WS_HOST=0.0.0.0" in refusal
    assert "MUSTER_MODE=production" in refusal


def safe_production(**changes: object) -> Settings:
    values: dict[str, object] = {
        "mode": "production",
        "redis_url": "redis://db:6379/0",
        "client_token": LONG + "-client",
        "global_worker_token": LONG + "-worker",
    }
    return Settings(**(values | changes))  # type: ignore[arg-type]


def test_production_starts_with_safe_settings() -> None:
    assert production_refusals(safe_production()) == []


@pytest.mark.parametrize("key", ["datavizhub_key", "pipelines_key"])
def test_a_key_of_the_documents_is_a_client_as_well(key: str) -> None:
    assert production_refusals(safe_production(client_token=None, **{key: LONG})) == []


@pytest.mark.parametrize(
    ("changes", "setting", "fix"),
    [
        ({"redis_url": None}, "MUSTER_REDIS_URL", "redis://"),
        ({"client_token": None}, "MUSTER_CLIENTS_FILE", "muster token new"),
        ({"global_worker_token": None}, "MUSTER_GLOBAL_WORKER_TOKEN", "muster token new"),
        ({"client_token": "secure-orchestrator-token"}, "MUSTER_CLIENT_TOKEN", "public documents"),
        ({"global_worker_token": "secure-worker-token"}, "MUSTER_GLOBAL_WORKER_TOKEN", "public documents"),
        ({"client_token": "123456789012345"}, "MUSTER_CLIENT_TOKEN", "shorter than 16 bytes"),
        ({"datavizhub_key": "secure-orchestrator-token"}, "DATAVIZHUB_API_KEY", "public documents"),
        ({"pipelines_key": "short"}, "DATAPIPELINES_API_KEY", "shorter than 16 bytes"),
        ({"secret": "short"}, "MUSTER_SECRET", "shorter than 16 bytes"),
        ({"clients_file": "/nowhere/clients.toml"}, "MUSTER_CLIENTS_FILE=/nowhere", "not a file"),
        ({"client_token": LONG, "global_worker_token": LONG}, "MUSTER_CLIENT_TOKEN", "Give each its own"),
    ],
)
def test_production_refuses_what_is_not_safe_and_names_the_fix(
    changes: dict[str, object], setting: str, fix: str
) -> None:
    (refusal,) = refusals(safe_production(**changes))
    assert setting in refusal
    assert fix in refusal


def test_what_a_mode_implies_can_be_said_otherwise() -> None:
    development, production = Settings(), safe_production()
    assert not development.approval_token_required
    assert development.private_webhooks_allowed
    assert development.any_origin_allowed
    assert production.approval_token_required
    assert not production.private_webhooks_allowed
    assert not production.any_origin_allowed
    assert safe_production(webhook_allow_private=True).private_webhooks_allowed


# The documents' variables


@pytest.mark.parametrize(
    ("document", "value", "name", "meaning"),
    [
        ("DATAVIZHUB_API_KEY_HEADER", "X-Key", "api_key_header", "X-Key"),
        ("DATAVIZHUB_REQUIRE_KEY_FOR_EXAMPLES", "1", "require_key_for_examples", True),
        ("DATAVIZHUB_CORS_ALLOW_ALL", "1", "cors_allow_all", True),
        ("DATAVIZHUB_CORS_ORIGINS", "http://a.test,http://b.test", "cors_origins", ("http://a.test", "http://b.test")),
        ("DATAVIZHUB_UPLOAD_DIR", "/up", "upload_dir", Path("/up")),
        ("DATAVIZHUB_RESULTS_DIR", "/results", "artifact_dir", Path("/results")),
        ("DATAVIZHUB_RESULTS_TTL_SECONDS", "86400", "results_ttl_seconds", 86_400.0),
        ("DATAVIZHUB_RESULTS_CLEAN_INTERVAL_SECONDS", "60", "clean_interval_seconds", 60.0),
        ("DATAVIZHUB_REDIS_URL", "redis://there:6379/0", "redis_url", "redis://there:6379/0"),
        ("DATAVIZHUB_QUEUE", "viz", "namespace", "viz"),
        ("STEPFLOW_LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("STEPFLOW_STORAGE_PATH", "/data", "data_dir", Path("/data")),
        ("STEPFLOW_WEBSOCKET_HOST", "127.0.0.2", "stepflow_ws_host", "127.0.0.2"),
        ("STEPFLOW_WEBSOCKET_PORT", "8765", "stepflow_ws_port", 8765),
        ("STEPFLOW_AUTH_ENABLED", "true", "stepflow_auth_enabled", True),
    ],
)
def test_the_variables_of_the_documents_mean_our_settings(
    monkeypatch: pytest.MonkeyPatch, document: str, value: str, name: str, meaning: object
) -> None:
    monkeypatch.setenv(document, value)
    settings = load_settings()
    assert getattr(settings, name) == meaning
    assert settings.origin(name) == "environment"


@pytest.mark.parametrize(
    ("document", "name"), [("DATAVIZHUB_API_KEY", "datavizhub_key"), ("DATAPIPELINES_API_KEY", "pipelines_key")]
)
def test_a_key_of_a_document_is_a_secret(monkeypatch: pytest.MonkeyPatch, document: str, name: str) -> None:
    monkeypatch.setenv(document, LONG)
    settings = load_settings()
    assert getattr(settings, name).get_secret_value() == LONG
    assert shown(settings, name) == "(set, hidden)"


def test_our_own_variable_wins_over_that_of_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAVIZHUB_QUEUE", "viz")
    monkeypatch.setenv("MUSTER_NAMESPACE", "ours")
    assert load_settings().namespace == "ours"


def test_redis_is_left_alone_where_the_document_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAVIZHUB_REDIS_URL", "redis://there")
    monkeypatch.setenv("DATAVIZHUB_USE_REDIS", "0")
    assert load_settings().redis_url is None


def test_a_wrong_value_is_named_by_the_variable_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_WEBSOCKET_PORT", "http")
    (problem,) = problems_of()
    assert problem.startswith("STEPFLOW_WEBSOCKET_PORT=http is not valid: must be a whole number")


def test_surfaces_are_all_on_in_development_and_named_in_production() -> None:
    assert load_settings().mounted_surfaces == ("cli", "executions", "connections", "monitor")
    assert load_settings(mode="production").mounted_surfaces == ()
    assert load_settings(mode="production", surfaces="cli, monitor").mounted_surfaces == ("cli", "monitor")
    (problem,) = problems_of(surfaces="cli,stepflow")
    assert "knows no surface 'stepflow'; there are cli, executions, connections, monitor" in problem
