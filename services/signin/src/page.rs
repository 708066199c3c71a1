//! The pages: plain HTML, without script, style or anything from elsewhere.

use plane::door::DoorAnswer;

use crate::door::{Parameters, html};

pub(crate) const CONTENT_TYPE: &str = "text/html; charset=utf-8";
const TITLE: &str = "Sign in";

/// Text in HTML, also within an attribute in double quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Headers of every page. `sends_to` is where its form may lead: browsers also look at where a form's answer redirects to.
fn headers(sends_to: &str) -> Vec<(&'static str, String)> {
    let policy = format!("default-src 'none'; form-action {sends_to}; frame-ancestors 'none'; base-uri 'none'");
    vec![
        ("content-security-policy", policy),
        ("cache-control", "no-store".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("x-frame-options", "DENY".to_owned()),
    ]
}

fn document(content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{TITLE}</title></head>\n<body>\n<h1>{TITLE}</h1>\n{content}</body>\n</html>\n"
    )
}

/// Where the form leads: here, and on to the program. A policy cannot name an address of IPv6.
fn form_targets(parameters: &Parameters) -> String {
    let place = parameters.iter().find(|(name, _)| *name == "redirect_uri").map_or("", |(_, value)| value.as_str());
    match place.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.split('/').next()?.parse::<u16>().ok()) {
        Some(port) => format!("'self' http://127.0.0.1:{port}"),
        None if place.starts_with("http://[::1]:") => "'self' http:".to_owned(),
        None => "'self'".to_owned(),
    }
}

fn field(name: &str, label: &str, more: &str) -> String {
    format!("<p><label>{label}<br><input name=\"{name}\" {more}></label></p>\n")
}

/// The form, with what went wrong before.
pub(crate) fn form(status: u16, parameters: &Parameters, message: Option<&str>, with_new_password: bool) -> DoorAnswer {
    let mut content = String::new();
    if let Some(message) = message {
        content.push_str(&format!("<p role=\"alert\">{}</p>\n", escaped(message)));
    }
    content.push_str("<form method=\"post\" action=\"/v1/authorize\" autocomplete=\"off\">\n");
    for (name, value) in parameters {
        content.push_str(&format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", escaped(value)));
    }
    content.push_str(&field("account", "Account ID (12 digits) or account alias", "required maxlength=\"63\""));
    content.push_str(&field("username", "IAM user name", "required maxlength=\"64\""));
    content.push_str(&field("password", "Password", "type=\"password\" required maxlength=\"128\""));
    content.push_str(&field("mfa_code", "MFA code, if you have a device", "inputmode=\"numeric\" maxlength=\"6\""));
    if with_new_password {
        content.push_str(&field("new_password", "New password", "type=\"password\" maxlength=\"128\""));
    }
    content.push_str("<p>A program on your device asks to act for you. Go on only if you have started it yourself.</p>\n");
    content.push_str("<p><button type=\"submit\">Sign in</button></p>\n</form>\n");
    html(status, headers(&form_targets(parameters)), document(&content))
}

/// To the program.
pub(crate) fn redirect(location: &str) -> DoorAnswer {
    let mut headers = headers("'none'");
    headers.push(("location", location.to_owned()));
    html(303, headers, document("<p>You can go back to the program.</p>\n"))
}

/// The code, for a program on another device.
pub(crate) fn confirmation(code: &str) -> DoorAnswer {
    let content = format!(
        "<p>Copy this code to the program that you have started. Give it to nobody who asks you for it.</p>\n<pre>{}</pre>\n",
        escaped(code)
    );
    html(200, headers("'none'"), document(&content))
}

/// Nothing goes on from here.
pub(crate) fn refusal(status: u16, message: &str) -> DoorAnswer {
    html(status, headers("'none'"), document(&format!("<p role=\"alert\">{}</p>\n", escaped(message))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &DoorAnswer) -> String {
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    #[test]
    fn nothing_that_was_sent_becomes_markup() {
        let parameters = vec![("state", "\"><script>alert('x')</script>".to_owned())];
        for page in [form(200, &parameters, Some("<b>"), true), refusal(400, "<script>"), confirmation("<script>")] {
            let text = text(&page);
            assert!(!text.contains("<script") && !text.contains("<b>"), "{text}");
        }
    }

    #[test]
    fn a_page_may_load_nothing_and_send_to_its_program_only() {
        let parameters = vec![("redirect_uri", "http://127.0.0.1:8400/oauth/callback".to_owned())];
        let policy = |answer: &DoorAnswer| answer.headers.iter().find(|(name, _)| *name == "content-security-policy").unwrap().1.clone();
        let form = form(200, &parameters, None, false);
        assert!(policy(&form).starts_with("default-src 'none'; form-action 'self' http://127.0.0.1:8400; frame-ancestors 'none'"));
        let forged = vec![("redirect_uri", "http://127.0.0.1:80; script-src *//".to_owned())];
        assert!(!policy(&super::form(200, &forged, None, false)).contains("script-src"));
    }
}
