"""Settings come from the environment, DODAI_ prefixed, each with a safe default (docs/operations.md)."""

import os
import shlex
import sys
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dodaiweb import access, advertised, keys, mail

os.umask(0o077)

BASE_DIR = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("DODAI_DATA") or BASE_DIR / "var").resolve()


def _database(url: str) -> dict[str, object]:
    """Django's database settings from sqlite:///path or postgresql://user:password@host:port/name?host=/socket."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path),
            "OPTIONS": {
                # Deferred transactions fail with "database is locked" as soon as two of them write.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                # FULL: a write grant or an end state, once answered, survives a power cut.
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
            },
            "TEST": {"NAME": os.environ.get("DODAI_TEST_SQLITE") or None},
        }
    if parts.scheme in ("postgres", "postgresql"):
        query = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(query.get("host", "")) or parts.hostname or "",
            "PORT": parts.port or query.get("port", ""),
            "CONN_HEALTH_CHECKS": True,
        }
    sys.exit("DODAI_DATABASE_URL must begin with sqlite:/// or postgresql://")


DATABASE_URL = os.environ.get("DODAI_DATABASE_URL") or f"sqlite:///{DATA / 'dodai.sqlite3'}"
DATABASES = {"default": {**_database(DATABASE_URL), "CONN_MAX_AGE": None}}
REDIS_URL = os.environ.get("DODAI_REDIS_URL") or f"unix://{DATA / 'run' / 'valkey.sock'}"

try:
    keys.ensure(DATA, database_exists=(DATA / "dodai.sqlite3").exists())
    SECRET_KEY = keys.read(DATA, "secret_key")
except keys.KeyProblem as problem:
    print(f"dodai: {problem}", file=sys.stderr)
    sys.exit(78)  # EX_CONFIG of sysexits.h: a supervisor should not try again

# The environment, else what the last `up` of this folder said, so that commands beside it know it too.
_told = advertised.read(DATA)
PROVISION_URL = os.environ.get("DODAI_PROVISION_URL") or _told.get("provision") or "http://127.0.0.1:8001"
IMAGE_URL = os.environ.get("DODAI_IMAGE_URL") or _told.get("images") or "http://127.0.0.1:8002"
# Links in notices lead there.
PAGES_URL = os.environ.get("DODAI_PAGES_URL") or _told.get("pages") or "http://127.0.0.1:8000"

try:
    globals().update(mail.settings_of(os.environ.get("DODAI_MAIL_URL", "")))
except mail.MailProblem as problem:
    print(f"dodai: {problem}", file=sys.stderr)
    sys.exit(78)

# Who may sign certificates of BMCs (Redfish), beside those that an operator accepted; empty: the usual authorities.
BMC_CA_FILE = os.environ.get("DODAI_BMC_CA_FILE") or ""

# Where images may come from besides uploads and public addresses: folders of this computer, networks (like 10.0.0.0/8).
IMAGE_FOLDERS = [Path(name) for name in os.environ.get("DODAI_IMAGE_FOLDERS", "").split(os.pathsep) if name]
try:
    _networks = os.environ.get("DODAI_IMAGE_NETWORKS", "").split(",")
    IMAGE_NETWORKS = [ip_network(name.strip()) for name in _networks if name]
except ValueError as problem:
    sys.exit(f"DODAI_IMAGE_NETWORKS must be networks with commas between, like 10.0.0.0/8: {problem}")

# Where machines are whose disks Dodai writes by iSCSI; empty: near the addresses that they boot from.
try:
    _networks = os.environ.get("DODAI_ISCSI_NETWORKS", "").split(",")
    ISCSI_NETWORKS = [ip_network(name.strip()) for name in _networks if name]
except ValueError as problem:
    sys.exit(f"DODAI_ISCSI_NETWORKS must be networks with commas between, like 10.0.0.0/8: {problem}")

DEBUG = os.environ.get("DODAI_DEBUG") == "1"
ALLOWED_HOSTS = [name for name in os.environ.get("DODAI_ALLOWED_HOSTS", "").split(",") if name] or [
    "localhost",
    "127.0.0.1",
    "[::1]",
]
try:
    globals().update(access.settings_of(os.environ))
except access.AccessProblem as problem:
    print(f"dodai: {problem}", file=sys.stderr)
    sys.exit(78)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_rq",
    "axes",
    "simple_history",
    "dodaiweb",
    "machines",
    "installs",
    "lab",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "dodaiweb.middleware.Editing",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "dodaiweb.middleware.ContentSecurityPolicy",
    "axes.middleware.AxesMiddleware",
]
# The provisioning listener has no sessions, no cookies and no static files.
PROVISION_MIDDLEWARE: list[str] = []

ROOT_URLCONF = "dodaiweb.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.jinja2.Jinja2",
        "NAME": "pages",
        "DIRS": [BASE_DIR / "templates" / "pages"],
        "OPTIONS": {
            "environment": "dodaiweb.pages.environment",
            "context_processors": ["dodaiweb.navigation.context"],
        },
    },
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "NAME": "admin",
        "DIRS": [BASE_DIR / "templates" / "django"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "fleet"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "dodai_session"
CSRF_COOKIE_NAME = "dodai_csrf"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

RQ_QUEUES = {"default": {"URL": REDIS_URL, "DEFAULT_TIMEOUT": 60, "SERIALIZER": "rq.serializers.JSONSerializer"}}

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = os.environ.get("DODAI_TIME_ZONE") or "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ja", "日本語")]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "dodaiweb.date_formats"
LANGUAGE_COOKIE_NAME = "dodai_language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True


def _count(name: str, otherwise: int) -> int:
    given = os.environ.get(name) or str(otherwise)
    if not given.isdecimal() or not 1 <= int(given) <= 100_000:
        sys.exit(f"{name} is {given!r}: write a number from 1 to 100000")
    return int(given)


# Classes of install methods, in the order in which they are offered (docs/adding-an-install-method.md).
INSTALL_METHODS = [
    "installs.methods.file_tree.FileTree",
    "installs.methods.disk_image.DiskImage",
    "installs.methods.iscsi.Iscsi",
    "installs.methods.live.Live",
    "installs.methods.installer.Kickstart",
    "installs.methods.installer.Preseed",
    "installs.methods.installer.Autoinstall",
    "installs.methods.manual.Manual",
    "installs.methods.inspect.Inspect",
    "installs.methods.operations.HandOver",
    "installs.methods.operations.Move",
    "installs.methods.operations.Release",
    "installs.methods.operations.UndoRelease",
    "installs.methods.erase.Erase",
    *os.environ.get("DODAI_INSTALL_METHODS", "").replace(",", " ").split(),
]

# What one person may install at once and in an hour, unless the caps of their groups say otherwise.
MANY_INSTALLS = _count("DODAI_MANY_INSTALLS", 20)
HOUR_INSTALLS = _count("DODAI_HOUR_INSTALLS", 50)

ISCSI_COPIES = _count("DODAI_ISCSI_COPIES", 2)  # disks that are written by iSCSI at once; more wait

# Other computers that Dodai runs on, by name, address, MAC, serial number or UUID: nothing is ever installed on them.
OWN_HOSTS = [word for word in os.environ.get("DODAI_OWN_HOSTS", "").replace(",", " ").split() if word]

UNDO_MINUTES = _count("DODAI_UNDO_MINUTES", 60)  # for so long a release can be undone: its disks are kept

# Who is asked before a machine is released (docs/pool.md): a program, a webhook, both.
RELEASE_HOOK = shlex.split(os.environ.get("DODAI_RELEASE_HOOK", ""))
RELEASE_URL = os.environ.get("DODAI_RELEASE_URL", "")
RELEASE_SECRET = os.environ.get("DODAI_RELEASE_SECRET", "")  # signs what is posted

LOGINS_KEPT_DAYS = _count("DODAI_LOGINS_KEPT_DAYS", 365)  # who logged in, and who failed to; how ports were moved
NOTICES_KEPT_DAYS = _count("DODAI_NOTICES_KEPT_DAYS", 90)  # delivered ones; the watchdog takes older ones away

DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {"tokens": {"()": "dodaiweb.masking.MaskTokens"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["tokens"]}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("DODAI_LOG_LEVEL") or "INFO"},
    # These print every packet, job or request, some of them with what must stay out of logs.
    "loggers": {
        name: {"level": "WARNING"} for name in ("axes", "rq", "rq.worker", "pyghmi", "urllib3", "django.request")
    },
}
