//! Sign-in for programs: the device flow's two endpoints (RFC 8628, in GitHub's form) and the page where a person
//! types the code.
//!
//! The page asks for a personal token each time and sets no cookie, so there is nothing that another site could use in
//! a person's name; a form that another site sends is refused all the same. There is no script on it.
//!
//! What of it we leave out: the flow over a redirect (`/login/oauth/authorize`), since programs are not registered.

use crate::edge::{Edge, Named, read};
use crate::error::ApiError;
use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use packhouse_service::{Denied, DeviceAsked, DeviceError, Refusal, Shown};
use std::net::IpAddr;

const PAGE: &str = "/login/device";
const CODE: &str = "/login/device/code";
const TOKEN: &str = "/login/oauth/access_token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const DOCUMENTATION: &str =
    "https://docs.github.com/developers/apps/authorizing-oauth-apps#error-codes-for-the-device-flow";
/// Parameters of a form.
const FIELDS_MAX: usize = 32;
/// Nothing is loaded and nothing runs; the form goes nowhere else, and no other site shows the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; \
                      base-uri 'none'";

/// A form that was sent.
struct Form(Vec<(String, String)>);

impl Form {
    fn parse(bytes: &[u8]) -> Self {
        Form(
            form_urlencoded::parse(bytes)
                .take(FIELDS_MAX)
                .map(|(k, v)| (k.into_owned(), v.into_owned()))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

impl Edge {
    /// Whether a path is one of these.
    #[must_use]
    pub fn signs_in(path: &str) -> bool {
        matches!(path, PAGE | CODE | TOKEN)
    }

    /// Answers a request for one of them.
    pub async fn sign_in<B>(&self, request: Request<B>, external_url: &str, client: IpAddr) -> Named
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let name = match path {
            CODE => "login/device-code",
            TOKEN => "login/access-token",
            _ => "login/device",
        };
        let posted = parts.method == Method::POST;
        let shows = matches!(parts.method, Method::GET | Method::HEAD) && path == PAGE;
        if !posted && !shows {
            let allowed = if path == PAGE { "GET, POST" } else { "POST" };
            let mut response =
                text(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", String::new());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return (name, response);
        }
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        if shows {
            return (name, page(StatusCode::OK, &code_form(query.get("user_code"), "")));
        }
        let form = match read(&parts, body).await {
            Ok(bytes) => Form::parse(&bytes),
            Err(error) => return (name, error.render().done()),
        };
        let response = match path {
            CODE => self.begin(&parts, &form, external_url, client).await,
            TOKEN => self.redeem(&parts, &form).await,
            _ => self.decide(&parts, &form, client).await,
        };
        (name, response)
    }

    async fn begin(
        &self,
        parts: &Parts,
        form: &Form,
        external_url: &str,
        client: IpAddr,
    ) -> Response<Full<Bytes>> {
        match self.service.begin_device(form.get("client_id"), form.get("scope"), client).await {
            Ok(begun) => said(
                parts,
                &[
                    ("device_code", begun.device_code.reveal().to_owned().into()),
                    ("user_code", begun.user_code.into()),
                    ("verification_uri", format!("{external_url}{PAGE}").into()),
                    ("expires_in", begun.expires_in.into()),
                    ("interval", begun.interval.into()),
                ],
            ),
            Err(error) => refused(parts, &error),
        }
    }

    async fn redeem(&self, parts: &Parts, form: &Form) -> Response<Full<Bytes>> {
        if form.get("grant_type") != GRANT {
            let why = format!("The grant_type must be {GRANT}.");
            return oauth_error(parts, "unsupported_grant_type", &why, &[]);
        }
        match self.service.redeem_device(form.get("client_id"), form.get("device_code")).await {
            Ok(made) => said(
                parts,
                &[
                    ("access_token", made.token.reveal().to_owned().into()),
                    ("token_type", "bearer".into()),
                    ("scope", made.scopes.normalized().join(",").into()),
                ],
            ),
            Err(error) => refused(parts, &error),
        }
    }

    /// The page's form: the code alone is answered with what it asks for, with a token it is decided.
    async fn decide(&self, parts: &Parts, form: &Form, client: IpAddr) -> Response<Full<Bytes>> {
        // Browsers say where a form comes from.
        let site = parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        if !matches!(site, None | Some(b"same-origin" | b"none")) {
            let text = "<p>This form came from another site, so nothing was done.</p>";
            return page(StatusCode::FORBIDDEN, text);
        }
        let (code, token) = (form.get("user_code"), form.get("token").trim());
        let approve = match form.get("decision") {
            "approve" => true,
            "deny" => false,
            _ => {
                return match self.service.device_asked(code, client).await {
                    Ok(asked) => page(StatusCode::OK, &decision_form(&asked, "")),
                    Err(error) => trouble(code, &error),
                };
            }
        };
        let shown = Shown::Bearer(token.to_owned());
        match self.service.decide_device(&shown, code, client, approve).await {
            Ok(scopes) if approve => {
                let scopes = if scopes.is_empty() { "no scopes".to_owned() } else { scopes.join(", ") };
                page(
                    StatusCode::OK,
                    &format!(
                        "<p>The program is signed in, with: {}. You may close this page; revoking the token that you \
                         entered ends it.</p>",
                        escaped(&scopes)
                    ),
                )
            }
            Ok(_) => page(StatusCode::OK, "<p>The program was refused. You may close this page.</p>"),
            Err(error) => trouble(code, &error),
        }
    }
}

/// Whole numbers stay numbers in JSON.
type Value = serde_json::Value;

/// An answer of fields: as a form, which is what GitHub sends to who asks for nothing else, or as JSON.
fn said(parts: &Parts, fields: &[(&str, Value)]) -> Response<Full<Bytes>> {
    let accepts = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut response = if accepts.into_iter().any(|value| value.contains("json")) {
        let body: serde_json::Map<String, Value> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        text(StatusCode::OK, "application/json; charset=utf-8", Value::Object(body).to_string())
    } else {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields {
            form.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        text(StatusCode::OK, "application/x-www-form-urlencoded; charset=utf-8", form.finish())
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Errors come with status 200, as GitHub has it.
fn oauth_error(
    parts: &Parts,
    error: &str,
    description: &str,
    more: &[(&str, Value)],
) -> Response<Full<Bytes>> {
    let mut fields: Vec<(&str, Value)> = vec![
        ("error", error.into()),
        ("error_description", description.into()),
        ("error_uri", DOCUMENTATION.into()),
    ];
    fields.extend_from_slice(more);
    said(parts, &fields)
}

fn refused(parts: &Parts, error: &DeviceError) -> Response<Full<Bytes>> {
    match error {
        DeviceError::Client => oauth_error(
            parts,
            "incorrect_client_credentials",
            "The client_id is missing, malformed, or not the one that the codes were given to.",
            &[],
        ),
        DeviceError::Unknown => {
            oauth_error(parts, "incorrect_device_code", "The device_code provided is not valid.", &[])
        }
        DeviceError::Expired => oauth_error(
            parts,
            "expired_token",
            "The device_code has expired. Start over by requesting new codes.",
            &[],
        ),
        DeviceError::Pending => {
            oauth_error(parts, "authorization_pending", "The authorization request is still pending.", &[])
        }
        DeviceError::SlowDown { interval } => oauth_error(
            parts,
            "slow_down",
            &format!(
                "Too many requests have been made in the same timeframe. Ask once in {interval} seconds."
            ),
            &[("interval", (*interval).into())],
        ),
        DeviceError::Refused | DeviceError::Denied(_) | DeviceError::Robot => {
            oauth_error(parts, "access_denied", "The authorization request was denied.", &[])
        }
        DeviceError::Attempts { retry_seconds } => {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Too many sign-ins were begun from this address.")
                .header(RETRY_AFTER, retry_seconds.to_string())
                .render()
                .done()
        }
        DeviceError::Fault(fault) => ApiError::fault(fault).render().done(),
    }
}

/// The form again, with what went wrong.
fn trouble(code: &str, error: &DeviceError) -> Response<Full<Bytes>> {
    let (status, why) = match error {
        DeviceError::Unknown | DeviceError::Expired | DeviceError::Client => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "There is no such code, or it has expired or was used. Look at what the program shows."
                .to_owned(),
        ),
        DeviceError::Attempts { retry_seconds } => (
            StatusCode::TOO_MANY_REQUESTS,
            format!("Too many codes were tried. Try again in {} minutes.", retry_seconds.div_ceil(60)),
        ),
        DeviceError::Denied(Denied::Credential) => {
            (StatusCode::UNAUTHORIZED, "This token is unknown, expired or revoked.".to_owned())
        }
        DeviceError::Denied(Denied::Refused(refused)) => match refused.refusal {
            Refusal::Limit { .. } => (
                StatusCode::FORBIDDEN,
                "A fine-grained token has no scopes to give; enter a classic one.".to_owned(),
            ),
            _ => (StatusCode::FORBIDDEN, "This token may not sign in a program.".to_owned()),
        },
        DeviceError::Denied(Denied::OverQuota(over)) => (StatusCode::FORBIDDEN, over.to_string()),
        DeviceError::Robot => (StatusCode::FORBIDDEN, "A robot signs in no program.".to_owned()),
        DeviceError::Pending | DeviceError::SlowDown { .. } | DeviceError::Refused => {
            (StatusCode::CONFLICT, "This was decided already.".to_owned())
        }
        DeviceError::Fault(fault) => return ApiError::fault(fault).render().done(),
    };
    let mut response = page(status, &code_form(code, &why));
    if let DeviceError::Attempts { retry_seconds } = error {
        response.headers_mut().insert(RETRY_AFTER, (*retry_seconds).into());
    }
    response
}

fn code_form(code: &str, trouble: &str) -> String {
    let trouble = if trouble.is_empty() {
        String::new()
    } else {
        format!("<p role=\"alert\">{}</p>", escaped(trouble))
    };
    let code: String = code.chars().take(16).collect();
    format!(
        "{trouble}<p>Enter the code that the program shows. Nobody else has a reason to give you one.</p>\
         <form method=\"post\" action=\"{PAGE}\"><label>Code <input name=\"user_code\" value=\"{}\" \
         autocomplete=\"off\" autocapitalize=\"characters\" required maxlength=\"16\"></label> \
         <button>Continue</button></form>",
        escaped(&code)
    )
}

fn decision_form(asked: &DeviceAsked, trouble: &str) -> String {
    let scopes = if asked.scopes.is_empty() {
        "<li>no scopes: only what is public</li>".to_owned()
    } else {
        asked.scopes.iter().map(|scope| format!("<li><code>{}</code></li>", escaped(scope))).collect()
    };
    format!(
        "<p role=\"alert\">{}</p><p><strong>{}</strong> with the code <code>{}</code> asks to act for you with these \
         scopes:</p><ul>{scopes}</ul><p>It gets those of them that your token holds, and ends with that token.</p>\
         <form method=\"post\" action=\"{PAGE}\"><input type=\"hidden\" name=\"user_code\" value=\"{}\">\
         <p><label>Your personal access token <input type=\"password\" name=\"token\" autocomplete=\"off\" required>\
         </label></p><button name=\"decision\" value=\"approve\">Approve</button> \
         <button name=\"decision\" value=\"deny\">Refuse</button></form>",
        escaped(trouble),
        escaped(&asked.client),
        escaped(&asked.user_code),
        escaped(&asked.user_code),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn page(status: StatusCode, content: &str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sign in a program</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}</style>\
         </head><body><main><h1>Sign in a program</h1>{content}</main></body></html>\n"
    );
    let mut response = text(status, "text/html; charset=utf-8", html);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_calls_itself_is_text_on_the_page() {
        let asked = DeviceAsked {
            client: "<script>alert(1)</script>\"'&".to_owned(),
            scopes: vec!["repo"],
            user_code: "WDJB-MJHT".to_owned(),
        };
        let form = decision_form(&asked, "");
        assert!(!form.contains("<script"), "{form}");
        assert!(form.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"), "{form}");
        assert!(!code_form("\"><b>", "").contains("<b>"));
    }
}
