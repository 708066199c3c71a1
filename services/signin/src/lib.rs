//! Sign-in with a password: the page that a browser shows, and the tokens that `aws login` and its like get for it.
//!
//! The page (`GET /v1/authorize`) is a form and nothing else. What it sends is the call `ConsoleLogin`: password and second factor are checked
//! by the plane's directory, and who signed in goes on, as itself, to `AuthorizeOAuth2Access`, which gives a code for the program that opened
//! the page. The program exchanges it by `CreateOAuth2Token` for credentials of fifteen minutes and a refresh token, which is good with the
//! program's private key only (DPoP), for twelve hours from the sign-in.
//!
//! Invariants:
//! 1. A password opens nothing by itself: the code and each set of credentials are decided by the plane, with the user as the caller.
//! 2. Whoever may not sign in gets one answer, after the same work: an unknown user, a wrong password and a wrong code are not told apart
//!    except in the account's own trail.
//! 3. Guesses are counted in the commit of the attempt, so attempts side by side do not get more of them.
//! 4. A code is good once, for ten minutes, with the verifier that its challenge was made from; a proof of possession is good once.
//! 5. The one secret that stands in a URL is the code. Passwords, codes and tokens are in no record, event or log: a code is kept as its hash, and
//!    a refresh token is its own sealed record.
//! 6. A password that was changed or taken away ends what was opened with it, with the next refresh.
//!
//! ## Not as AWS does
//! * Root users have no password here, so none signs in.
//! * There is no console: the page signs in for programs (`aws login`, `bailiwick login`), on loopback addresses or with a code to copy.
//! * The MFA code is asked for together with the password, so that a missing code tells nothing; there is no `CheckMfa` event.
//! * A password that must be changed is changed on the same page, by `iam:ChangePassword` in the user's name. The attempt before is a failure in the
//!   trail.
//! * After ten failures a user, and after a hundred a source address, wait until the fifteen minutes that began with the first are over. AWS
//!   documents no figures.
//! * A user that was renamed signs in anew.
//! * Tokens of applications (`CreateOAuth2TokenWithIAM` and its like) and bearer tokens are not there; the account's sign-in policy is refused as not
//!   implemented.
//!
//! Source: AWS Sign-In API Reference; AWS CLI User Guide, "Login for AWS local development using console credentials"; CloudTrail User Guide,
//! "AWS Management Console sign-in events"; RFC 6749, 7636, 8252, 9449.

mod authorization_code;
mod authorize;
mod client;
mod console_login;
mod door;
mod error;
mod page;
mod proof;
mod refresh_token;
mod service;
mod signed_in_user;
mod throttle;
mod token;

pub use service::SignInService;
