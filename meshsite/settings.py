"""Settings, all of them from the environment (`.env.example` lists every name).

`NAME_FILE` may name a file that holds the value of `NAME`; it wins over `NAME`, so secrets can be
mounted instead of exported. Of ours it imports the log's configuration and nothing else.
"""

import sys
from pathlib import Path
from typing import Any

from environ import FileAwareEnv

from meshsite.logging import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
env = FileAwareEnv()
FileAwareEnv.read_env(env.str("MESH_ENV_FILE", str(BASE_DIR / ".env")))

VERSION = "0.1.0"
DATA_DIR = Path(env.str("MESH_DATA_DIR", str(BASE_DIR / "var"))).resolve()

# --- web -------------------------------------------------------------------------------------------
DEBUG = env.bool("DJANGO_DEBUG", False)
SECRET_KEY = env.str("DJANGO_SECRET_KEY", "")
if not SECRET_KEY and (DATA_DIR / "secret_key").exists():
    SECRET_KEY = (DATA_DIR / "secret_key").read_text().strip()  # made by `manage.py up`
SECRET_KEY = SECRET_KEY or "insecure-only-until-DJANGO_SECRET_KEY-is-set"
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
HOST = env.str("HOST", "127.0.0.1")
PORT = env.int("PORT", 8080)
PUBLIC_BASE_URL = env.str("PUBLIC_BASE_URL", f"http://localhost:{PORT}").rstrip("/")
CSRF_TRUSTED_ORIGINS = [PUBLIC_BASE_URL]
ROOT_URLCONF = "meshsite.urls"
ASGI_APPLICATION = "meshsite.asgi.application"
WSGI_APPLICATION = "meshsite.wsgi.application"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = "meshsite.formats"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True  # pages work before `collectstatic` has run
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_BASE_URL.startswith("https://")
SECURE_CONTENT_TYPE_NOSNIFF = True
LOGIN_REDIRECT_URL = "/admin/"
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "django_prometheus",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.import_export",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "simple_history",
    "import_export",
    "channels",
    "meshsite",
    "web",
    "networks",
    "agents",
    "memory",
    "workflows",
    "tasks",
    "voice",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "web.requests.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "web.staticfiles.StaticFilesMiddleware",
    "web.guards.JsonGuardMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "meshsite" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# --- PostgreSQL ------------------------------------------------------------------------------------
# Without DATABASE_URL, `manage.py up` starts an embedded server under DATA_DIR and exports its address;
# other commands find it by its socket. The folder may be a link (meshsite/embedded_home.py).
RUN_DIR = (DATA_DIR / "run").resolve()
DATABASE_URL = env.str("DATABASE_URL", "")
DATABASES = {
    "default": env.db_url_config(DATABASE_URL or f"postgresql://mesh@/mesh?host={RUN_DIR}&port=5432")
}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
DATABASES["default"].setdefault("OPTIONS", {})
for name in ("host", "port"):  # of a unix socket's address; they have keys of their own
    if name in DATABASES["default"]["OPTIONS"]:
        DATABASES["default"][name.upper()] = DATABASES["default"]["OPTIONS"].pop(name)
DATABASES["default"]["OPTIONS"] |= {
    # Giving connections back between requests and jobs; 2 s without a free one answers 503.
    "pool": {"min_size": 1, "max_size": env.int("MESH_DB_POOL", 16), "timeout": 2},
    "connect_timeout": 3,
    "prepare_threshold": 5,  # without a number `web.statements` could not prepare; querysets never do
}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

# --- Redis -----------------------------------------------------------------------------------------
# VALKEY_URL is an alias. Empty means: no Redis; hints are lost and the sweeper does the work.
REDIS_URL = env.str("REDIS_URL", "") or env.str("VALKEY_URL", "")
EMBEDDED_REDIS = not REDIS_URL  # `manage.py up` starts a Valkey of its own
if EMBEDDED_REDIS and (RUN_DIR / "valkey.sock").exists():
    REDIS_URL = f"unix://{RUN_DIR / 'valkey.sock'}"
# Celery spells a unix socket and its database number differently.
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", "") or REDIS_URL
if CELERY_BROKER_URL.startswith("unix://"):
    CELERY_BROKER_URL = "redis+socket" + CELERY_BROKER_URL[4:].replace("?db=", "?virtual_host=")

CHANNEL_LAYERS: dict[str, Any] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
if REDIS_URL:
    CHANNEL_LAYERS["default"] = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    }

# --- the engine ------------------------------------------------------------------------------------
MESH_API_KEY = env.str("MESH_API_KEY", "")
MESH_RATE_LIMIT_PER_MINUTE = env.int("MESH_RATE_LIMIT_PER_MINUTE", 6000)  # of one API key
MESH_WEB_THREADS = env.int("MESH_WEB_THREADS", 8)  # synchronous requests at once in a web process
MESH_WORKERS = env.int("MESH_WORKERS", 2)
MESH_WORKER_STEPS = env.int("MESH_WORKER_STEPS", 256)
MESH_LEASE_SECONDS = env.float("MESH_LEASE_SECONDS", 30.0)
MESH_SWEEP_SECONDS = env.float("MESH_SWEEP_SECONDS", 5.0)
# What tools and webhooks may reach besides the public internet: networks (10.1.0.0/16) and host names.
MESH_EGRESS_ALLOW = env.list("MESH_EGRESS_ALLOW", default=[])
MESH_FUNCTION_MODULES = env.list(
    "MESH_FUNCTION_MODULES", default=[]
)  # imported: they register tool functions
MESH_MCP_COMMANDS = env.json(
    "MESH_MCP_COMMANDS", {}
)  # MCP servers that tools may start: name to command line
MESH_ENCRYPTION_KEY = env.str("MESH_ENCRYPTION_KEY", "")

# --- letters ---------------------------------------------------------------------------------------
# smtp+tls://user:password@host:587, consolemail://, filemail:///folder. Empty: nobody is written to.
EMAIL_URL = env.str("EMAIL_URL", "")
EMAIL_ON = bool(EMAIL_URL)
vars().update(env.email_url_config(EMAIL_URL or "dummymail://"))
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("EMAIL_FROM", "AI Mesh Network <mesh@localhost>")

# --- model providers (names are the SDKs' own) -------------------------------------------------------
PROVIDERS: dict[str, dict[str, str]] = {
    "anthropic": {
        "api_key": env.str("ANTHROPIC_API_KEY", ""),
        "base_url": env.str("ANTHROPIC_BASE_URL", ""),
    },
    "openai": {"api_key": env.str("OPENAI_API_KEY", ""), "base_url": env.str("OPENAI_BASE_URL", "")},
    "google": {
        "api_key": env.str("GEMINI_API_KEY", "") or env.str("GOOGLE_API_KEY", ""),
        "base_url": env.str("GOOGLE_GEMINI_BASE_URL", ""),
    },
    "openai_compatible": {
        "api_key": env.str("LOCAL_LLM_API_KEY", ""),
        "base_url": env.str("LOCAL_LLM_BASE_URL", ""),
        "model": env.str("LOCAL_LLM_MODEL", ""),
    },
}

# --- voice -----------------------------------------------------------------------------------------
# inline: the web process takes the calls, a handful of them. separate: `manage.py voice` processes do.
MESH_VOICE = env.str("MESH_VOICE", "inline")
MESH_VOICE_NAME = env.str("MESH_VOICE_NAME", "inline")  # of this voice process; the stream's path names it
MESH_VOICE_PORT = env.int("MESH_VOICE_PORT", 8090)  # the first voice process's; the next one's is one more
MESH_VOICE_PROCESSES = env.int(
    "MESH_VOICE_PROCESSES", 0
)  # started by `manage.py up`, with separate; 0: a core each
MESH_VOICE_REALTIME = env.bool("MESH_VOICE_REALTIME", True)  # its processes go first, where they may
MESH_VOICE_SLOTS = env.int("MESH_VOICE_SLOTS", 50)  # calls at once in a voice process
MESH_VOICE_STAGES = env.list("MESH_VOICE_STAGES", default=[])  # stages that live outside, over NATS
MESH_VOICE_DRAIN_SECONDS = env.int("MESH_VOICE_DRAIN_SECONDS", 3600)
VOICE_HOLD_SECONDS = 20.0  # that calls in the web process hold up its end
MESH_VOICE_CALLS_PER_PROJECT = env.int("MESH_VOICE_CALLS_PER_PROJECT", 0)  # at once; 0: no limit
# Days after which calls are deleted (0: never), and recordings alone (0: with their call).
MESH_VOICE_CALL_DAYS = env.int("MESH_VOICE_CALL_DAYS", 0)
MESH_VOICE_RECORDING_DAYS = env.int("MESH_VOICE_RECORDING_DAYS", 0)
PUBLIC_VOICE_URL = env.str("PUBLIC_VOICE_URL", "").rstrip("/")  # wss://…; empty: PUBLIC_BASE_URL's host
# http://…, with {worker}: where our own processes reach a voice process; empty: where everybody does.
MESH_VOICE_INNER_URL = env.str("MESH_VOICE_INNER_URL", "").rstrip("/")
WEBRTC_ICE_SERVERS = env.json("WEBRTC_ICE_SERVERS", [])  # of ours: [{"urls", "username", "credential"}]
NATS_URL = env.str("NATS_URL", "")
NATS_PREFIX = env.str("NATS_PREFIX", "mesh")  # of subjects: installations that share a server differ
MEDIA_STORAGE_URL = env.str("MEDIA_STORAGE_URL", str(DATA_DIR / "media"))
# Without TWILIO_AUTH_TOKEN the one that `manage.py up` made: simulated callers of this machine sign by it.
_local_auth_token = DATA_DIR / "twilio_auth_token"
TWILIO = {
    "account_sid": env.str("TWILIO_ACCOUNT_SID", ""),
    "auth_token": env.str("TWILIO_AUTH_TOKEN", "")
    or (_local_auth_token.read_text().strip() if _local_auth_token.exists() else ""),
    "phone_number": env.str("TWILIO_PHONE_NUMBER", ""),
    "base_url": env.str("TWILIO_BASE_URL", ""),
}
# An empty address is the vendor's own; OpenAI's speech uses the key and address of its models.
SPEECH: dict[str, dict[str, str]] = {
    "deepgram": {
        "api_key": env.str("DEEPGRAM_API_KEY", ""),
        "base_url": env.str("DEEPGRAM_BASE_URL", ""),
    },
    "elevenlabs": {
        "api_key": env.str("ELEVENLABS_API_KEY", ""),
        "base_url": env.str("ELEVENLABS_BASE_URL", ""),
    },
    "azure": {
        "api_key": env.str("AZURE_SPEECH_KEY", ""),
        "region": env.str("AZURE_SPEECH_REGION", ""),
        "base_url": env.str("AZURE_SPEECH_BASE_URL", ""),
    },
    "openai": PROVIDERS["openai"],
}
LIVEKIT = {
    "url": env.str("LIVEKIT_URL", ""),
    "api_key": env.str("LIVEKIT_API_KEY", ""),
    "api_secret": env.str("LIVEKIT_API_SECRET", ""),
    "sip_uri": env.str("LIVEKIT_SIP_URI", ""),
}
DAILY = {
    "api_key": env.str("DAILY_API_KEY", ""),
    "domain": env.str("DAILY_DOMAIN", ""),
    "base_url": env.str("DAILY_BASE_URL", ""),
}

# --- API -------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["networks.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["networks.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "web.problems.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "web.openapi.MeshSchema",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "AI Mesh Network",
    "DESCRIPTION": "Networks of AI agents: create them, give them tasks, read results and memory.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [],  # the one there is renames enumerations that share a name
}

# --- admin -----------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": "AI Mesh Network",
    "SITE_HEADER": "AI Mesh Network",
    "SITE_SUBHEADER": "Staff and operators",
    "SITE_SYMBOL": "hub",
    "STYLES": ["meshsite.admin_site.stylesheet"],
    "DASHBOARD_CALLBACK": "meshsite.dashboard.callback",
    "SIDEBAR": {"show_search": True, "navigation": "meshsite.admin_site.navigation"},
}
IMPORT_EXPORT_USE_TRANSACTIONS = True
LOGIN_URL = "admin:login"

# --- operators -------------------------------------------------------------------------------------
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
MESH_METRICS_PORT = env.int("MESH_METRICS_PORT", 0)  # of a worker; 0 leaves its numbers to the web's scrape
FLOWER = env.bool("FLOWER", False)
FLOWER_PORT = env.int("FLOWER_PORT", 5555)
MESH_FLOWER_EVENTS = env.bool("MESH_FLOWER_EVENTS", False)  # set by `make run FLOWER=1`
LOG_LEVEL = env.str("MESH_LOG_LEVEL", "INFO")
LOG_FORMAT = env.str("MESH_LOG_FORMAT", "console" if sys.stderr.isatty() else "json")
LOGGING = logging_config(
    LOG_LEVEL,
    LOG_FORMAT,
    secrets=[
        SECRET_KEY,
        MESH_API_KEY,
        MESH_ENCRYPTION_KEY,
        METRICS_TOKEN,
        *(provider["api_key"] for provider in PROVIDERS.values()),
        *(service["api_key"] for service in SPEECH.values()),
        TWILIO["auth_token"],
        LIVEKIT["api_secret"],
        DAILY["api_key"],
    ],
    redact_emails=env.bool("MESH_LOG_REDACT_EMAILS", False),
)
