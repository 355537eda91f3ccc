"""How people sign in: allauth's settings, which web.settings takes over whole."""

ACCOUNT_ADAPTER = "forestall.web.access.adapter.AccountAdapter"
ACCOUNT_EMAIL_NOTIFICATIONS = False
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # nobody gets mail from us because a stranger wrote their address
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
ACCOUNT_SESSION_REMEMBER = False  # a session ends with the browser, or after SESSION_COOKIE_AGE
# estate.lockout counts wrong passwords per person; these stop one address from trying many people.
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "30/m/ip", "reset_password": "10/m/ip,3/h/key"}

MFA_ADAPTER = "forestall.web.access.adapter.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Forestall"
