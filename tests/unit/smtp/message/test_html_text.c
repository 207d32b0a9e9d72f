#include "smtp/message/html_text.h"

#include "server/base/codec.h"
#include "server/base/mem.h"

#include "check_cmocka.h"

#include <stdlib.h>

static const struct {
    const char *html;
    const char *text;
} PAGES[] = {
    {"", ""},
    {"plain", "plain"},
    {"  a \n\t b  ", "a b"},
    {"<p>one</p><p>two</p>", "one\n\ntwo"},
    {"<p>one<p>two", "one\n\ntwo"},
    {"<div>one</div><div>two</div>", "one\ntwo"},
    {"a<br>b<br/>c<br><br><br>d", "a\nb\nc\n\nd"},
    {"<h1>Title</h1>text", "Title\n\ntext"},
    {"a <b>bold</b>, <i>x</i>y", "a bold, xy"},
    {"a <b> b </b> c", "a b c"},
    {"<ul><li>one</li><li>two</li></ul>after", "- one\n- two\n\nafter"},
    {"x<ol><li>one<li>two</ol>", "x\n\n1. one\n2. two"},
    {"<ul><li><p>one</p></li><li><p>two</p></li></ul>", "- one\n- two"},
    {"<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c"},
    {"<ul><li></li><li>x</li></ul>", "- x"},
    {"<li>x", "- x"},
    {"<table><tr><td>A</td><td>B</td></tr><tr><td>C</td><td>D</td></tr>"
     "</table>",
     "A  B\nC  D"},
    {"<table>\n<tr>\n<td>A</td>\n<td>B</td>\n</tr>\n</table>", "A  B"},
    {"<a href=\"https://x.io/?a=1&amp;b=2\">here</a> now",
     "here (https://x.io/?a=1&b=2) now"},
    {"<a href=https://x.io>https://x.io</a>", "https://x.io"},
    {"<ul><li><a href=https://x.io>https://x.io</a></ul>", "- https://x.io"},
    {"<ol><li><a href=https://x.io>\n <b>https://x.io</b> </a></ol>",
     "1. https://x.io"},
    {"<td>a<td><a href=https://x.io>https://x.io</a>", "a  https://x.io"},
    {"<p>a<p><a href=https://x.io>https://x.io</a>", "a\n\nhttps://x.io"},
    {"<p><a href='https://x.io'>\n go <b>there</b> </a></p><p>b</p>",
     "go there (https://x.io)\n\nb"},
    {"<a href=\"mailto:a@x.io\">a@x.io</a>", "a@x.io"},
    {"<a href=\"mailto:a@x.io\">write</a>", "write"},
    {"<a href=\"#top\">up</a>", "up"},
    {"<a name=x>t</a>", "t"},
    {"<a href=\"https://x.io\"><img src=y></a>", "https://x.io"},
    {"<a href=\"https://x.io\"><img src=y alt=Shop></a>",
     "Shop (https://x.io)"},
    {"<a href=\"https://x.io\">open", "open (https://x.io)"},
    {"<a href=\"https://a.io\">a<a href=\"https://b.io\">b</a>",
     "a (https://a.io)b (https://b.io)"},
    {"<a href=\"ht\ntps://x.io/a b\">t</a>", "t (https://x.io/ab)"},
    {"<img alt=\"A &amp; B\">", "A & B"},
    {"<img src=x>", ""},
    {"a<hr>b", "a\n----------\nb"},
    {"<pre>a  b\n c</pre>d", "a  b\n c\n\nd"},
    {"<head><title>T</title><style>p{}</style></head><body>x", "x"},
    {"<html><head><title>T</title><body>x", "x"},
    {"<head><title>T</title><meta charset=utf-8><p>x", "x"},
    {"<head><link rel=y><base href=/><table><tr><td>a<td>b", "a  b"},
    {"<head>y<noscript>z</noscript></head>x<p>b", "x\n\nb"},
    {"a<script>if (a < b) '</p>'</script>b", "ab"},
    {"a<SCRIPT>x</Script >b", "ab"},
    {"a<style>never closed", "a"},
    {"a<!-- c <p> -->b", "ab"},
    {"a<!-- never closed", "a"},
    {"<!DOCTYPE html>a<!--[if mso]>m<![endif]-->b<?php x ?>c", "abc"},
    {"<div style=\"display:none\">pre<div>x</div></div>b", "b"},
    {"<div style=\"DISPLAY : NONE; x:y\">pre</div>b", "b"},
    {"<span style='max-height:0;overflow:hidden'>pre</span>b", "b"},
    {"<span style='max-height:0.5em'>shown</span>b", "shownb"},
    {"<span style='max-height:0px'>pre</span>b", "b"},
    {"<p hidden>pre</p>b", "b"},
    {"<p hidden>pre<p>b", "b"},
    {"<p style='display:none'>pre<b>x</b><ul><li>b", "- b"},
    {"<p hidden>pre<p hidden>pre<div>b", "b"},
    {"<div hidden>pre<p>x<div>y</div></div>b", "b"},
    {"<img hidden alt=x>b", "b"},
    {"<template>x</template>b", "b"},
    {"&lt;p&gt; &amp;amp; &quot;&apos;&nbsp;&copy;&hellip;",
     "<p> &amp; \"' \xc2\xa9\xe2\x80\xa6"},
    {"&#65;&#x42;&#X1F600;&#150;", "AB\xf0\x9f\x98\x80\xe2\x80\x93"},
    {"&#0;&#xD800;&#99999999;", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"&#999999999; &unknown; & &; &#; &#x; &#xg;",
     "&#999999999; &unknown; & &; &#; &#x; &#xg;"},
    {"a&shy;b&#8203;c\xef\xbb\xbf", "abc"},
    {"1 < 2 <3 <", "1 < 2 <3 <"},
    {"a<b", "a"},
    {"a<x y=\">\">b</x>", "ab"},
    {"a<x y = '>' z= \">\">b</x>", "ab"},
    {"a<x y=\n\t\">\">b</x>", "ab"},
    {"<a href=https://x.io/?q=\">x</a> y\"", "x (https://x.io/?q=\") y\""},
    {"<p title=it's>a</p>it's", "a\n\nit's"},
    {"</p></ul></a></pre></li>x", "x"},
    {"a\x01\x7f\x1b"
     "b",
     "ab"},
    {"caf\xc3\xa9 \xe4\xbd\xa0", "caf\xc3\xa9 \xe4\xbd\xa0"},
    {"a\xff\xc3", "a"},
    {"<custom-element-name>x</custom-element-name>", "x"},
};

static void pages_become_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(PAGES); i++) {
        struct buf out;

        buf_init(&out, 4096);
        html_text_add(&out, str_of(PAGES[i].html));
        if (!str_eq(buf_str(&out), str_of(PAGES[i].text)))
            fail_msg("%s\ngave [%.*s]\nwant [%s]", PAGES[i].html,
                     STR_ARG(buf_str(&out)), PAGES[i].text);
        buf_finish(&out);
    }
}

/* Output stays within the promised bound where it grows most. Time that grew
 * with the square would not end here: each page has a million pieces. */
static void broken_pages_cost_no_more_than_their_length(void **state)
{
    static const char *const pieces[] = {
        "<",       "<a ",      "<a href=x>", "<a href=\"", "&",
        "<!--",    "<p>",      "</ul>",      "<ul><li>x",  "<li>x",
        "<hr>",    "<script>", "<td>",       "</",         "<div hidden>",
        "<pre>\n", "<!",       "&#x41;",     "<ol>",       "<img alt=x ",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        size_t len = strlen(pieces[i]);
        size_t count = 300000;
        char *html = xmalloc(len * count);
        struct buf out;

        for (size_t j = 0; j < count; j++)
            memcpy(html + j * len, pieces[i], len);
        buf_init(&out, HTML_TEXT_GROWTH_MAX * len * count);
        html_text_add(&out, str_make(html, len * count));
        assert_false(out.full);
        assert_true(utf8_is_valid(buf_str(&out)));
        buf_finish(&out);
        free(html);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_become_text),
        cmocka_unit_test(broken_pages_cost_no_more_than_their_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
