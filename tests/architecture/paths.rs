//! Finds the paths in a Rust file that start in the file's own crate.
//!
//! The finder works on tokens instead of on a syntax tree. A path consists of the same tokens in a `use`, in an expression, in a
//! type, in the arguments of a macro and in an attribute, so one walk finds it everywhere.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A path in the code, resolved to the root of its crate: `super::jwt` in `outbound::nats` is `["outbound", "jwt"]`. The crate
/// itself is the empty path, and a glob ends with `*`.
#[derive(Debug)]
pub(crate) struct FoundPath {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// Returns every path in `text` that starts with `crate`, `self` or `super`, where `text` is the file of `module`.
/// Visibilities (`pub(in …)`) and documentation are ignored.
pub(crate) fn find_paths(module: &[&str], text: &str) -> Vec<FoundPath> {
    let mut tokens = Vec::new();
    flatten(text.parse().expect("a Rust file"), Source::Code, &mut tokens);
    let words: Vec<&str> = tokens.iter().map(|(word, _)| word.as_str()).collect();
    let mut finder = Finder { words: &words, at: 0, module: module.to_vec(), found: Vec::new() };
    finder.run();
    let resolved = finder.found.into_iter();
    let owned = |path: Vec<&str>| path.into_iter().map(str::to_owned).collect();
    resolved.map(|(path, at)| FoundPath { path: owned(path), line: tokens[at].1 }).collect()
}

/// The origin of the tokens that are flattened.
#[derive(Clone, Copy)]
enum Source {
    Code,
    /// An attribute, whose string literals may be paths: `#[serde(with = "super::duration")]`.
    Attribute,
    /// A string literal in this line. Its tokens have no lines of their own.
    Literal(usize),
}

/// Appends the tokens with their lines. Groups become their delimiters, two colons become one token.
fn flatten(tokens: TokenStream, source: Source, flat: &mut Vec<(String, usize)>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let line = match source {
            Source::Literal(line) => line,
            Source::Code | Source::Attribute => token.span().start().line,
        };
        match token {
            TokenTree::Group(group) => {
                let is_attribute = group.delimiter() == Delimiter::Bracket && follows_hash(flat);
                if is_attribute && is_documentation(group.stream()) {
                    continue;
                }
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                flat.push((open.to_owned(), line));
                flatten(group.stream(), if is_attribute { Source::Attribute } else { source }, flat);
                flat.push((close.to_owned(), line));
            }
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                flat.push((name.strip_prefix("r#").unwrap_or(&name).to_owned(), line));
            }
            TokenTree::Punct(colon) if colon.as_char() == ':' && colon.spacing() == Spacing::Joint => {
                tokens.next_if(|next| next.to_string() == ":");
                flat.push(("::".to_owned(), line));
            }
            TokenTree::Punct(punct) => flat.push((punct.to_string(), line)),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let content = text.split_once('"').and_then(|(_, rest)| Some(rest.rsplit_once('"')?.0));
                match (source, content.and_then(|content| content.parse().ok())) {
                    (Source::Attribute, Some(tokens)) => flatten(tokens, Source::Literal(line), flat),
                    _ => flat.push((text, line)),
                }
            }
        }
    }
}

fn follows_hash(flat: &[(String, usize)]) -> bool {
    let mut before = flat.iter().rev().map(|(word, _)| word.as_str());
    match before.next() {
        Some("!") => before.next() == Some("#"),
        last => last == Some("#"),
    }
}

fn is_documentation(attribute: TokenStream) -> bool {
    attribute.into_iter().next().is_some_and(|first| first.to_string() == "doc")
}

/// A walk over the tokens of a file.
struct Finder<'a> {
    words: &'a [&'a str],
    at: usize,
    /// The module that the token at `at` belongs to.
    module: Vec<&'a str>,
    /// The paths, each with the index of its last token.
    found: Vec<(Vec<&'a str>, usize)>,
}

impl<'a> Finder<'a> {
    fn ahead(&self) -> &'a [&'a str] {
        &self.words[self.at..]
    }

    fn run(&mut self) {
        // For each open brace, whether it belongs to a module.
        let mut braces = Vec::new();
        loop {
            match self.ahead() {
                [] => return,
                ["pub", "(", "in", ..] | ["pub", "(", "crate" | "self" | "super", ")", ..] => {
                    self.skip_to(&[")"]);
                }
                ["mod", name, "{", ..] => {
                    self.module.push(name);
                    braces.push(true);
                    self.at += 3;
                }
                ["{", ..] => {
                    braces.push(false);
                    self.at += 1;
                }
                ["}", ..] => {
                    if braces.pop() == Some(true) {
                        self.module.pop();
                    }
                    self.at += 1;
                }
                // A name for the crate itself can lead to any path.
                ["extern", "crate", "self", ..] => {
                    self.found.push((Vec::new(), self.at));
                    self.at += 3;
                }
                ["extern", "crate", ..] => self.at += 2,
                ["crate" | "super", ..] | ["self", "::", ..] => self.read_path(self.module.clone()),
                _ => self.at += 1,
            }
        }
    }

    /// Reads a path that continues `path`, and each of its branches if it is a tree.
    fn read_path(&mut self, mut path: Vec<&'a str>) {
        loop {
            match self.ahead() {
                ["crate", ..] => path.clear(),
                ["super", ..] => _ = path.pop(),
                ["self", ..] => {}
                ["{", ..] => return self.read_branches(&path),
                [name, ..] => path.push(name),
                [] => return,
            }
            match self.ahead() {
                [_, "::", next, ..] if is_segment(next) => self.at += 2,
                _ => break,
            }
        }
        self.found.push((path, self.at));
        self.at += 1;
    }

    fn read_branches(&mut self, path: &[&'a str]) {
        self.at += 1;
        loop {
            match self.ahead() {
                [] => return,
                ["}", ..] => break,
                [",", ..] => self.at += 1,
                _ => {
                    self.read_path(path.to_vec());
                    // A branch may be renamed.
                    self.skip_to(&[",", "}"]);
                }
            }
        }
        self.at += 1;
    }

    fn skip_to(&mut self, words: &[&str]) {
        self.at += self.ahead().iter().take_while(|word| !words.contains(word)).count();
    }
}

/// Returns whether the word can follow `::` within a path, apart from generic arguments and macro variables.
fn is_segment(word: &str) -> bool {
    matches!(word, "{" | "*") || word.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the paths in `text` as a part of the file of `crate::inbound::http::queue`.
    fn found(text: &str) -> Vec<String> {
        let found = find_paths(&["inbound", "http", "queue"], text);
        found.into_iter().map(|found| found.path.join("::")).collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(found(text), expected, "{text}");
    }

    #[test]
    fn imported_paths_are_found() {
        check("use crate::outbound::jwt::Tokens;", &["outbound::jwt::Tokens"]);
        check("use super::frame::Frame;", &["inbound::http::frame::Frame"]);
        check("use self::busy::Busy;", &["inbound::http::queue::busy::Busy"]);
        check("use super::super::debug;", &["inbound::debug"]);
        check("use self::super::super::super::outbound;", &["outbound"]);
        check("pub use super::super::super::outbound::jwt as j;", &["outbound::jwt"]);
        check("pub(crate) use super::r#frame;", &["inbound::http::frame"]);
        check("use super::super :: /* a comment */ debug;", &["inbound::debug"]);
        check("use std::{self, fmt::{self, Write as _}}; use ::bytes::Bytes;", &[]);
    }

    #[test]
    fn nested_imports_are_found() {
        check(
            "use super::{frame::{self, Frame}, super::{debug as d, demo::*}, *};",
            &[
                "inbound::http::frame",
                "inbound::http::frame::Frame",
                "inbound::debug",
                "inbound::demo::*",
                "inbound::http::*",
            ],
        );
        check("use {std::fmt, crate::outbound, super::frame};", &["outbound", "inbound::http::frame"]);
        check(
            "use crate::{inbound::{debug, http}, outbound::jwt,};",
            &["inbound::debug", "inbound::http", "outbound::jwt"],
        );
    }

    #[test]
    fn parent_paths_are_resolved() {
        check("use crate as root;", &[""]);
        check("extern crate self as root;", &[""]);
        check("extern crate alloc;", &[]);
        check("use crate::{self as root};", &[""]);
        check("use crate::*;", &["*"]);
        check("use crate::outbound::{self as out};", &["outbound"]);
        check("use super::super::*;", &["inbound::*"]);
        check("use super::super as side;", &["inbound"]);
    }

    #[test]
    fn paths_in_code_are_found() {
        check("fn f(x: &super::super::demo::Page) {}", &["inbound::demo::Page"]);
        check("static X: Option<crate::outbound::A> = None;", &["outbound::A"]);
        check("impl crate::a::T<super::U> for V {}", &["a::T", "inbound::http::U"]);
        check("fn f() { <super::A as super::B>::c() }", &["inbound::http::A", "inbound::http::B"]);
        check(
            "fn f() { super::super::debug::f::<u8>(self::g()) }",
            &["inbound::debug::f", "inbound::http::queue::g"],
        );
        check("fn f() { super::A { b: super::B * 2 } }", &["inbound::http::A", "inbound::http::B"]);
        check("fn f(self) { use super::super::demo; self.x; Self::y() }", &["inbound::demo"]);
    }

    #[test]
    fn inner_modules_are_resolved() {
        check("mod tests { use super::*; }", &["inbound::http::queue::*"]);
        check("mod tests { use super::super::super::debug; }", &["inbound::debug"]);
        check(
            "mod a { mod b { fn f() { super::g() } } } use super::c;",
            &["inbound::http::queue::a::g", "inbound::http::c"],
        );
        check(
            "fn f() { if x { } mod a { use super::b; } super::c() }",
            &["inbound::http::queue::b", "inbound::http::c"],
        );
        check("mod other; use super::a;", &["inbound::http::a"]);
    }

    #[test]
    fn macros_and_attributes_are_read() {
        check("fn f() { assert_eq!(super::super::demo::X, 1); }", &["inbound::demo::X"]);
        check(
            "fn f() { select! { x = y => { use super::super::{debug, demo}; } } }",
            &["inbound::debug", "inbound::demo"],
        );
        check("fn f() { crate::outbound::m!(x) }", &["outbound::m"]);
        check("macro_rules! m { () => { $crate::outbound::jwt::f() } }", &["outbound::jwt::f"]);
        check("macro_rules! m { ($a:ident) => { crate::$a::f() } }", &[""]);
        check("fn f() { m!(crate, x) }", &[""]);
        check("#[derive(crate::a::D)] struct S;", &["a::D"]);
        check("struct S { #[serde(with = \"super::super::demo\")] a: u8 }", &["inbound::demo"]);
        check("#![x(r#\"crate::outbound::f\"#)]", &["outbound::f"]);
    }

    #[test]
    fn visibility_and_docs_are_ignored() {
        check("pub(in crate::inbound) struct S { pub(in super::super) a: u8, pub(super) b: u8 }", &[]);
        check("pub(crate) fn f() {} pub(self) fn g() {}", &[]);
        check("struct S(pub (super::A), pub(crate) super::B);", &["inbound::http::A", "inbound::http::B"]);
        check("/// See [`crate::outbound::jwt`].\n//! crate::x\nfn f() { \"crate::x\"; } // crate::x", &[]);
    }

    #[test]
    fn path_has_its_line_number() {
        let found = find_paths(&[], "use crate::{\n    a,\n    b,\n};\n#[x = \"crate::c\"]\nstruct S;");
        assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [2, 3, 5]);
    }
}
