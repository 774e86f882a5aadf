"""The server's own TLS: its certificate, and whose certificates it accepts of those who connect."""

import ssl

from muster.settings import Settings, SettingsRefused


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """None where a proxy speaks TLS, or nobody does.

    Raises:
        SettingsRefused: a file cannot be used, or is set without the one that belongs to it.
    """
    problems = _incomplete(settings)
    if problems:
        raise SettingsRefused(problems)
    if settings.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        text = f"MUSTER_TLS_CERT={settings.tls_cert} and MUSTER_TLS_KEY={settings.tls_key} cannot be used: {error}."
        raise SettingsRefused([text]) from error
    if settings.tls_worker_ca is not None:
        try:
            context.load_verify_locations(settings.tls_worker_ca)
        except (OSError, ssl.SSLError) as error:
            raise SettingsRefused(
                [f"MUSTER_TLS_WORKER_CA={settings.tls_worker_ca} cannot be used: {error}."]
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED if settings.tls_require_certificate else ssl.CERT_OPTIONAL
    return context


def _incomplete(settings: Settings) -> list[str]:
    found: list[str] = []
    if (settings.tls_cert is None) != (settings.tls_key is None):
        found.append("MUSTER_TLS_CERT and MUSTER_TLS_KEY belong together. Set both, or none.")
    if settings.tls_worker_ca is not None and settings.tls_cert is None:
        found.append("MUSTER_TLS_WORKER_CA is of no use without MUSTER_TLS_CERT and MUSTER_TLS_KEY. Set them.")
    if settings.tls_require_certificate and settings.tls_worker_ca is None:
        found.append("MUSTER_TLS_REQUIRE_CERTIFICATE needs MUSTER_TLS_WORKER_CA, which says whose certificates count.")
    return found
