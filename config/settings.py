"""All settings, one file. What differs between installations comes from the environment (env.py); nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONCE, NONE, SELF

from config import env, patience

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(env.text("HOLDFAST_HOME", str(ROOT / ".holdfast")))
TRIAL = env.flag("HOLDFAST_TRIAL")
TRIAL_EMPTY = env.flag("HOLDFAST_EMPTY")
ORIGIN = env.text("HOLDFAST_ORIGIN", "http://127.0.0.1:8000").rstrip("/")
PROCESS = env.text("HOLDFAST_PROCESS", "")  # "web" in the web server, set by asgi.py

DEBUG = False
SECRET_KEY = env.text("HOLDFAST_SECRET_KEY")
SECRET_KEY_FALLBACKS = env.words("HOLDFAST_SECRET_KEY_FALLBACKS")
SEAL_KEY = env.key("HOLDFAST_SEAL_KEY")
HTTPS = ORIGIN.startswith("https://")
ALLOWED_HOSTS = env.words("HOLDFAST_HOSTS", "127.0.0.1 localhost [::1] testserver" if not HTTPS else urlsplit(ORIGIN).hostname or "")
CSRF_TRUSTED_ORIGINS = [ORIGIN] if HTTPS else []
USE_X_FORWARDED_HOST = False
if env.flag("HOLDFAST_BEHIND_PROXY"):  # only where a proxy of ours strips the header from clients
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    ALLAUTH_TRUSTED_PROXY_COUNT = 1  # sign-in limits count each client's address, not the proxy's

# -- rooms -------------------------------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "channels",
    "csp",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "audit",
    "accounts",
    "evidence",
    "approvals",
    "playbooks",
    "containment",
    "guard",
    "console",
    "api",
    *(["trial"] if TRIAL else []),
]
MIDDLEWARE = [
    "api.access.refusals.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "api.refusals.ProblemMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.ActorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "console.refusals.RefusalMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.context.shell",
            ],
        },
    },
]

# -- rows --------------------------------------------------------------------------------------------------------------------------------
POOLED = env.flag("HOLDFAST_POOLED")  # a pooler gives each transaction another session: nothing may stay behind in one
_limits = "-c lock_timeout=5000 -c statement_timeout=15000 -c idle_in_transaction_session_timeout=15000"


def _database(name: str, *, limits: str) -> dict[str, Any]:
    entry = env.database(name)
    entry["OPTIONS"] = patience.TCP | entry["OPTIONS"] | {"options": limits}  # a host that vanished is noticed within half a minute
    if POOLED:  # it passes no such options on; docs/howto/production.md says how the role gets the same limits
        del entry["OPTIONS"]["options"]
        entry["DISABLE_SERVER_SIDE_CURSORS"] = True
    entry["CONN_HEALTH_CHECKS"] = True
    entry["CONN_MAX_AGE"] = None
    return entry


DATABASES: dict[str, dict[str, Any]] = {"default": _database("DATABASE_URL", limits=_limits)}
DATABASE_APP_ROLE = env.text("HOLDFAST_APP_ROLE", DATABASES["default"]["USER"])
if PROCESS == "web":  # many short threads share a pool; Django checks each connection first, so a restarted database costs no request
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 2,
        "max_size": env.number("HOLDFAST_POOL", 24),
        "timeout": patience.CONNECTION_S,
        "reconnect_timeout": patience.AGAIN_S,
        "connection_class": patience.Connection,
    }
if env.text("DATABASE_OWNER_URL", "") not in {"", env.text("DATABASE_URL")}:  # migrations only: manage.py migrate --database owner
    DATABASES["owner"] = _database("DATABASE_OWNER_URL", limits="-c lock_timeout=2000") | {"TEST": {"MIRROR": "default"}, "CONN_MAX_AGE": 0}

# -- hints: queues and live pages (the truth is rows) ------------------------------------------------------------------------------------
BROKER_URL = env.text("BROKER_URL", "redis://127.0.0.1:6379/2")
CHANNELS_URL = env.text("CHANNELS_URL", "redis://127.0.0.1:6379/1")
CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [CHANNELS_URL]}}}

# -- people ------------------------------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.Person"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_ADAPTER = "accounts.adapter.NoSignUp"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = False
SESSION_ENGINE = "accounts.session_store"  # by the database's clock
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sid", "__Host-csrf"
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^(livez|readyz|metrics)$"]  # asked from beside the server, without TLS
    SECURE_HSTS_SECONDS = 31536000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}  # sign-in rate limits only, per process
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# -- pages -------------------------------------------------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["htmx", "app"],
    },
}
SECURE_REFERRER_POLICY = "same-origin"  # the CSRF check of forms over https needs the referrer of our own pages
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
STATIC_URL = "/static/"
STATICFILES_DIRS = [ROOT / "static"]
STATIC_ROOT = Path(env.text("HOLDFAST_STATIC", str(ROOT / "staticfiles")))
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = False
if TRIAL or not STATIC_ROOT.exists():  # no build step before the first page: files are served from where they lie
    WHITENOISE_USE_FINDERS = True
    STATIC_ROOT = None  # type: ignore[assignment]
else:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200

# -- API ---------------------------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["api.auth.BearerAuthentication", "api.auth.PersonAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["api.auth.Declared"],
    "DEFAULT_PARSER_CLASSES": ["api.gate.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "api.schema.Described",
    "EXCEPTION_HANDLER": "api.refusals.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Holdfast",
    "DESCRIPTION": "Post detections, ask before acting, read what was decided and why.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "api.access.described.add_access"],
}

# -- connectors --------------------------------------------------------------------------------------------------------------------------
# provider name -> what its connector needs to know. Secrets come from the environment, never from a row.
CONNECTORS: dict[str, dict[str, Any]] = {"holdfast": {"use": "holdfast"}}
if env.text("HOLDFAST_ESTATE_DSN", ""):
    CONNECTORS["postgres"] = {
        "use": "postgres",
        "dsn": env.text("HOLDFAST_ESTATE_DSN"),
        "secret": SEAL_KEY.hex(),
        "look_dsn": env.text("HOLDFAST_ESTATE_LOOK_DSN", ""),
        "deliveries": env.text("HOLDFAST_DELIVERIES", ""),
        "checkpoints": {
            role: {"call": names.partition(":")[0], "newest": names.partition(":")[2]}
            for role, _, names in (word.partition("=") for word in env.words("HOLDFAST_ESTATE_CHECKPOINTS"))
        },
    }
if env.text("HOLDFAST_WEBHOOK_URL", ""):
    CONNECTORS["webhook"] = {
        "use": "webhook",
        "url": env.text("HOLDFAST_WEBHOOK_URL"),
        "secret": env.text("HOLDFAST_WEBHOOK_SECRET"),
        "private_hosts": env.words("HOLDFAST_WEBHOOK_PRIVATE_HOSTS"),
    }

# -- words and time ----------------------------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("HOLDFAST_LOG", "INFO")},
    "loggers": {"django.request": {"level": "ERROR"}, "httpx": {"level": "WARNING"}},
}
