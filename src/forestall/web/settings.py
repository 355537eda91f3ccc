"""Django's settings, from the installation's own (kernel.config). No secret stands here."""

import sys

import pysqlite3

# The sqlite3 inside Python 3.11 is older than the fix of the WAL-reset bug: docs/decisions/0003-sqlite.md
sys.modules["sqlite3"] = pysqlite3
sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2

from pathlib import Path  # noqa: E402
from urllib.parse import unquote, urlparse  # noqa: E402

from csp.constants import NONE, SELF  # noqa: E402

from forestall.kernel.config import data_dir, read_config  # noqa: E402
from forestall.web.access.configuration import *  # noqa: E402, F403

HOME = Path(__file__).parent
DATA = data_dir()
CONFIG = read_config(DATA)

SECRET_KEY = (
    DATA.key("django").hex() if DATA.secret.is_dir() else "no installation: nothing is signed with this"
)
DEBUG = False
ALLOWED_HOSTS = ["*"]  # the host is checked against public_url by web.middleware
ROOT_URLCONF = "forestall.web.urls"
ASGI_APPLICATION = "forestall.web.asgi.application"
AUTH_USER_MODEL = "estate.Person"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "lucide",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "forestall.journal",
    "forestall.estate",
    "forestall.intake",
    "forestall.mail",
    "forestall.configs",
    "forestall.networks",
    "forestall.findings",
    "forestall.alerts",
    "forestall.tickets",
    "forestall.backups",
    "forestall.problems",
    "forestall.agreements",
    "forestall.invoices",
    "forestall.economics",
    "forestall.keeping",
    "forestall.web",
]

MIDDLEWARE = [
    "forestall.web.middleware.Reach",
    "forestall.web.middleware.HostCheck",
    "django.middleware.security.SecurityMiddleware",
    "forestall.web.middleware.StaticFiles",
    "django.middleware.gzip.GZipMiddleware",
    "csp.middleware.CSPMiddleware",
    "forestall.web.middleware.Caution",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "forestall.web.middleware.Mistakes",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HOME / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "forestall.web.context.frame",
            ]
        },
    }
]

if CONFIG.database_url:
    _url = urlparse(CONFIG.database_url)
    DATABASES = {
        "default": {
            "ENGINE": "forestall.estate.postgres",
            "NAME": _url.path.lstrip("/"),
            "HOST": _url.hostname or "",
            "PORT": str(_url.port or ""),
            "USER": unquote(_url.username or ""),
            "PASSWORD": unquote(_url.password or ""),
            "CONN_MAX_AGE": 60,
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA.database,
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA temp_store=MEMORY;"
                "PRAGMA cache_size=-32000;PRAGMA journal_size_limit=67108864;",
            },
        }
    }

STATIC_URL = "/static/"
STATICFILES_DIRS = [HOME / "static"]
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
