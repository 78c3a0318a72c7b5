//! The user agent of a request in a few words, for people who look at their sessions: which browser
//! on which system, or which program.

use actix_web::HttpRequest;
use actix_web::http::header;

/// The most bytes it has. With it and an IPv6 address, a session in Redis stays below 400 bytes.
const MAX_LENGTH: usize = 30;
/// As far as it is looked at; what browsers send is shorter.
const MAX_READ: usize = 512;

/// The first that is found counts: most browsers also name those that they descend from.
const BROWSERS: [(&str, &str); 15] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("OPiOS/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("Electron/", "Electron"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("Trident/", "Internet Explorer"),
];

/// The first that is found counts: Android names Linux too, and iOS Mac OS X.
const SYSTEMS: [(&str, &str); 7] = [
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

pub(super) fn of(request: &HttpRequest) -> Option<String> {
    summarise(request.headers().get(header::USER_AGENT)?.to_str().ok()?)
}

fn summarise(user_agent: &str) -> Option<String> {
    let user_agent = &user_agent[..user_agent.floor_char_boundary(MAX_READ)];
    let find = |table: &[(&str, &'static str)]| {
        table.iter().find(|(sign, _)| user_agent.contains(sign)).map(|(_, name)| *name)
    };
    // Every browser begins like this; others may name a system too, but they have a name first.
    if user_agent.starts_with("Mozilla/")
        && let Some(browser) = find(&BROWSERS)
    {
        let system = find(&SYSTEMS).map(|system| format!(" on {system}")).unwrap_or_default();
        return Some(format!("{browser}{system}"));
    }
    product(user_agent)
}

/// The first product (RFC 9110 section 10.1.5), with two numbers of its version.
fn product(user_agent: &str) -> Option<String> {
    let word = user_agent.split_ascii_whitespace().next()?;
    let (name, version) = word.split_once('/').unwrap_or((word, ""));
    let version = version.split('.').take(2).collect::<Vec<_>>().join(".");
    let is_token = |c: &char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*c);
    let mut text: String = name.chars().filter(is_token).collect();
    if text.is_empty() {
        return None;
    }
    let version: String = version.chars().filter(is_token).collect();
    if !version.is_empty() {
        text.push('/');
        text.push_str(&version);
    }
    text.truncate(MAX_LENGTH);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agents_in_a_few_words() {
        let chrome = |system: &str, more: &str| {
            format!(
                "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/141.0.0.0 {more}Safari/537.36"
            )
        };
        let safari = |system: &str, more: &str| {
            format!("Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) {more}")
        };
        let windows = "Windows NT 10.0; Win64; x64";
        let phone = "iPhone; CPU iPhone OS 18_6 like Mac OS X";
        let mac = "Macintosh; Intel Mac OS X 10_15_7";
        let firefox = "Gecko/20100101 Firefox/143.0";
        let table = [
            (format!("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) {firefox}"), "Firefox on Linux"),
            (format!("Mozilla/5.0 ({windows}; rv:143.0) {firefox}"), "Firefox on Windows"),
            (chrome(windows, ""), "Chrome on Windows"),
            (chrome(windows, "").replace(" Chrome", " HeadlessChrome"), "Chrome on Windows"),
            (chrome("Linux; Android 10; K", ""), "Chrome on Android"),
            (chrome("X11; CrOS x86_64 14541.0.0", ""), "Chrome on ChromeOS"),
            (chrome(mac, "") + " Edg/141.0.0.0", "Edge on macOS"),
            (chrome(windows, "") + " OPR/122.0.0.0", "Opera on Windows"),
            (chrome("Linux; Android 15", "SamsungBrowser/28.0 "), "Samsung Internet on Android"),
            (safari(mac, "Version/18.6 Safari/605.1.15"), "Safari on macOS"),
            (safari(phone, "Version/18.6 Mobile/15E148 Safari/604.1"), "Safari on iOS"),
            (safari(phone, "CriOS/141.0 Mobile/15E148 Safari/604.1"), "Chrome on iOS"),
            (safari(phone, "FxiOS/143.0 Mobile/15E148 Safari/605.1.15"), "Firefox on iOS"),
            (safari("iPad; CPU OS 18_6", "Version/18.6 Safari/604.1"), "Safari on iPadOS"),
            ("Mozilla/5.0 (PlayStation) Safari/605.1.15".into(), "Safari"),
            ("Mozilla/5.0 (compatible; SomeBot/2.1)".into(), "Mozilla/5.0"),
            ("python-requests/2.32.5".into(), "python-requests/2.32"),
            ("curl/8.16.0".into(), "curl/8.16"),
            ("axios/1".into(), "axios/1"),
            ("Bank/7.1 CFNetwork/3826 Darwin/24.6".into(), "Bank/7.1"),
            ("Shop/3.4 (Android 15; Firefox/1.0)".into(), "Shop/3.4"),
            ("node".into(), "node"),
            ("tabs\tand\u{7}bells/1.0".into(), "tabs"),
            ("<script>alert(1)</script>".into(), "scriptalert1/script"),
            ("x".repeat(99), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            ("\u{e9}".repeat(999) + "y", ""),
            ("(nothing but a comment)".into(), "nothing"),
            ("/1.0".into(), ""),
            (" \t ".into(), ""),
            (String::new(), ""),
        ];
        for (user_agent, expected) in table {
            let words = summarise(&user_agent);
            assert_eq!(words.as_deref().unwrap_or_default(), expected, "{user_agent}");
        }
    }

    #[test]
    fn no_summary_is_longer_than_the_longest() {
        for (_, browser) in BROWSERS {
            for (_, system) in SYSTEMS {
                assert!(format!("{browser} on {system}").len() <= MAX_LENGTH);
            }
        }
    }
}
