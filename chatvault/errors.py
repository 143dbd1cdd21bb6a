"""Every error ChatVault raises on purpose, and what each one means to whoever meets it.

    ChatVaultError                 message, hint; exit code 1
    ├── ConfigError                settings that can't be used: file, line          exit 2
    ├── UsageError                 a command called wrongly                         exit 2
    ├── DaemonNotRunning           nothing answers on the control socket            exit 3
    ├── NotPermitted               the caller may not do this                       exit 4
    ├── AlreadyRunning             another process holds the lock                   exit 6
    ├── StoreError                 the database can't be used as it is              exit 1
    │   ├── DatabaseTooNew         written by a newer program
    │   ├── DatabaseDamaged        fails SQLite's own check
    │   └── StorageFull            no room to write down what must be written
    ├── RequestError               a client's request that can't be served: status, type, code, param
    └── ProviderError              a provider's doing: status, code, is_retryable   exit 5
        ├── ProviderUnreachable    no connection, or it broke before an answer
        ├── ProviderTimeout        silent for too long
        ├── ProviderRefused        its own 4xx, passed through with its message
        ├── ProviderAuthFailed     our key was refused: the client never sees how
        ├── ProviderOverloaded     429, 503, 529: too busy, or our account's limit
        ├── ProviderFailed         its 5xx, or an answer that makes no sense
        └── ProviderBroke          an answer that broke off in the middle

The type says who is to blame; `status` and `code` are what the client gets in the error object; `hint`
says what to try.
"""


class ChatVaultError(Exception):
    """Something went wrong in a way ChatVault knows: `message` tells what, `hint` what to try."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(ChatVaultError):
    """Settings that can't be used; `path` and `line` (from 1) say where, when that is known."""

    exit_code = 2

    def __init__(
        self, message: str, *, hint: str | None = None, path: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.line = line

    def __str__(self) -> str:
        where = self.path or ""
        if self.line is not None:
            where += f":{self.line}"
        return f"{where}: {self.message}" if where else self.message


class UsageError(ChatVaultError):
    """A command called with arguments that don't fit."""

    exit_code = 2


class DaemonNotRunning(ChatVaultError):
    """Nothing answers on the control socket."""

    exit_code = 3


class NotPermitted(ChatVaultError):
    """The caller may not read or change this."""

    exit_code = 4


class AlreadyRunning(ChatVaultError):
    """Another process holds the state directory's lock."""

    exit_code = 6


class StoreError(ChatVaultError):
    """The database can't be used as it is."""


class DatabaseTooNew(StoreError):
    """The database was written by a newer program than this one."""


class DatabaseDamaged(StoreError):
    """The database fails SQLite's own check."""


class StorageFull(StoreError):
    """There is no room to write down what must be written before a paid provider is called."""


class RequestError(ChatVaultError):
    """A client's request that can't be served, in the terms of OpenAI's error object.

    `status` is the HTTP status; `type`, `code` and `param` fill the error object; `retry_after` is in
    seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.retry_after = retry_after


class ProviderError(ChatVaultError):
    """A provider's doing.

    `status`, `type` and `code` are what the client gets; `upstream_status` is what the provider said, when it
    said anything; `is_retryable` allows the next route before the first byte; `may_be_billed` says that the
    provider had the whole request, unless its status says that it refused; `retry_after` is in seconds.
    `message` is fit for clients: it never holds a key, nor what a provider says of one. `detail` is what the
    provider said, redacted, cut and printable: for the log alone.
    """

    exit_code = 5
    status = 502
    type = "api_error"
    code: str | None = "upstream_error"
    is_retryable = False
    may_be_billed = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        upstream_status: int | None = None,
        upstream_request_id: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.upstream_status = upstream_status
        self.upstream_request_id = upstream_request_id
        self.retry_after = retry_after
        self.param: str | None = None
        self.detail: str | None = None


class ProviderUnreachable(ProviderError):
    """No connection to the provider, or it broke before an answer began."""

    is_retryable = True


class ProviderTimeout(ProviderError):
    """The provider was silent for longer than its `timeout_seconds`."""

    status = 504
    code = "upstream_timeout"
    is_retryable = True
    may_be_billed = True


class ProviderRefused(ProviderError):
    """The provider's own 4xx: passed through with its status and message."""

    type = "invalid_request_error"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        upstream_request_id: str | None = None,
    ) -> None:
        super().__init__(message, upstream_status=status, upstream_request_id=upstream_request_id)
        self.status = status
        self.type = type
        self.code = code
        self.param = param


class ProviderAuthFailed(ProviderError):
    """The provider refused our key (401 or 403)."""

    code = "upstream_auth"


class ProviderOverloaded(ProviderError):
    """The provider is too busy, or our account's limit is reached: 429 stays 429, anything else is a 503."""

    code = "overloaded"
    is_retryable = True

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int,
        upstream_request_id: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(
            message,
            upstream_status=upstream_status,
            upstream_request_id=upstream_request_id,
            retry_after=retry_after,
        )
        self.status = 429 if upstream_status == 429 else 503
        self.code = "rate_limit_exceeded" if upstream_status == 429 else "overloaded"
        self.type = "rate_limit_error" if upstream_status == 429 else "api_error"


class ProviderFailed(ProviderError):
    """The provider's own 5xx, or an answer that makes no sense: that one may be billed all the same."""

    is_retryable = True
    may_be_billed = True


class ProviderBroke(ProviderError):
    """An answer that had begun and broke off."""

    may_be_billed = True
