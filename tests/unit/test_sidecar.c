/* sidecar - XMP in both spellings, and what is refused. */
#include "engine/base/clock.h"
#include "engine/base/text.h"
#include "engine/media/sidecar.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPEN                                                                                    \
	"<x:xmpmeta xmlns:x='adobe:ns:meta/'>"                                                  \
	"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"                     \
	"<rdf:Description rdf:about='' xmlns:exif='http://ns.adobe.com/exif/1.0/'"              \
	" xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmlns:dc='http://purl.org/dc/elements/1.1/'" \
	" xmlns:ps='http://ns.adobe.com/photoshop/1.0/'"                                        \
	" xmlns:lr='http://ns.adobe.com/lightroom/1.0/'"                                        \
	" xmlns:dk='http://www.digikam.org/ns/1.0/'"
#define CLOSE "</rdf:Description></rdf:RDF></x:xmpmeta>"

struct parsed {
	struct ur_arena arena;
	struct ur_sidecar car;
	struct ur_err err;
	int r;
};

static struct parsed parse(const char *text)
{
	struct parsed p = {0};
	ur_arena_init(&p.arena);
	p.r = ur_sidecar_parse(&p.arena, text, strlen(text), &p.car, &p.err);
	return p;
}

static void assert_near(double got, double wanted)
{
	assert_true(fabs(got - wanted) < 1e-6);
}

static void assert_date(const struct parsed *p, const char *iso)
{
	int64_t ns = 0;
	bool zoned = false;
	assert_int_equal(ur_clock_parse_iso(iso, &ns, &zoned), 0);
	assert_true(p->car.has_date);
	assert_int_equal(p->car.date_ns, ns);
	assert_int_equal(p->car.date_zoned, zoned);
}

static void properties_count_as_attributes(void **state)
{
	(void)state;
	struct parsed p = parse(OPEN " exif:DateTimeOriginal='2024-05-06T07:08:09.5+02:00'"
				     " exif:GPSLatitude='48,51.5N' exif:GPSLongitude='2,17,40W'"
				     " xmp:Rating='4' dc:description='A hill'>" CLOSE);
	assert_int_equal(p.r, 0);
	assert_date(&p, "2024-05-06T07:08:09.5+02:00");
	assert_string_equal(p.car.date_text, "2024-05-06T07:08:09.5+02:00");
	assert_true(p.car.has_place);
	assert_near(p.car.latitude, 48 + 51.5 / 60);
	assert_near(p.car.longitude, -(2 + 17.0 / 60 + 40.0 / 3600));
	assert_true(p.car.has_rating);
	assert_int_equal(p.car.rating, 4);
	assert_string_equal(p.car.description, "A hill");
	ur_arena_done(&p.arena);
}

static void properties_count_as_elements(void **state)
{
	(void)state;
	struct parsed p = parse(OPEN
		"><exif:DateTimeOriginal>2024-05-06T07:08:09</exif:DateTimeOriginal>"
		"<exif:GPSLatitude>33.5S</exif:GPSLatitude><exif:GPSLongitude>151.25</exif:GPSLongitude>"
		"<xmp:Rating>-1</xmp:Rating><dc:description><rdf:Alt>"
		"<rdf:li xml:lang='de'>Ein H&#252;gel</rdf:li>"
		"<rdf:li xml:lang='x-default'> A &lt;hill&gt; </rdf:li>"
		"<rdf:li xml:lang='fr'>Une colline</rdf:li></rdf:Alt></dc:description>" CLOSE);
	assert_int_equal(p.r, 0);
	assert_date(&p, "2024-05-06T07:08:09");
	assert_near(p.car.latitude, -33.5);
	assert_near(p.car.longitude, 151.25);
	assert_int_equal(p.car.rating, -1);
	assert_string_equal(p.car.description, "A <hill>");
	ur_arena_done(&p.arena);
}

static void the_moment_of_exposure_wins_over_other_dates(void **state)
{
	(void)state;
	struct parsed p = parse(
		OPEN " xmp:CreateDate='2003-01-01T00:00:00'"
		     " ps:DateCreated='2002-01-01T00:00:00'>"
		     "<exif:DateTimeOriginal>2001:01:01 00:00:00</exif:DateTimeOriginal>" CLOSE);
	assert_date(&p, "2001-01-01T00:00:00");
	ur_arena_done(&p.arena);

	p = parse(OPEN " xmp:CreateDate='2003-01-01T00:00:00' ps:DateCreated='2002-01-01'>" CLOSE);
	assert_date(&p, "2002-01-01");
	ur_arena_done(&p.arena);

	p = parse(OPEN " exif:DateTimeOriginal='soon' xmp:CreateDate='2003-01-01T00:00'>" CLOSE);
	assert_date(&p, "2003-01-01T00:00:00");
	ur_arena_done(&p.arena);
}

static void assert_tags(const struct parsed *p, const char *wanted)
{
	struct ur_text all = {0};
	for (size_t i = 0; i < p->car.tag_count; i++) {
		ur_text_addf(&all, "%s;", p->car.tags[i]);
	}
	assert_string_equal(ur_text_get(&all), wanted);
	ur_text_done(&all);
}

static void no_tag_comes_twice_and_hierarchies_win_over_their_words(void **state)
{
	(void)state;
	struct parsed p = parse(OPEN
		"><dc:subject><rdf:Bag><rdf:li>Paris</rdf:li><rdf:li>sun</rdf:li><rdf:li>sun</rdf:li>"
		"<rdf:li>Places</rdf:li><rdf:li>Par</rdf:li></rdf:Bag></dc:subject>"
		"<lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|France|Paris</rdf:li></rdf:Bag>"
		"</lr:hierarchicalSubject><dk:TagsList><rdf:Seq><rdf:li>Places/France/Paris</rdf:li>"
		"<rdf:li>People</rdf:li></rdf:Seq></dk:TagsList>" CLOSE);
	assert_int_equal(p.r, 0);
	assert_tags(&p, "sun;Par;Places/France/Paris;People;");
	ur_arena_done(&p.arena);
}

static void properties_of_inner_structures_are_not_the_pictures(void **state)
{
	(void)state;
	struct parsed p = parse(OPEN
		"><xmp:History><rdf:Seq><rdf:li><rdf:Description xmp:Rating='5' dc:description='no'>"
		"<xmp:CreateDate>2001-01-01T00:00:00</xmp:CreateDate></rdf:Description></rdf:li>"
		"</rdf:Seq></xmp:History>" CLOSE);
	assert_int_equal(p.r, 0);
	assert_false(p.car.has_rating);
	assert_false(p.car.has_date);
	assert_null(p.car.description);
	ur_arena_done(&p.arena);
}

static void nonsense_values_are_as_if_absent(void **state)
{
	(void)state;
	struct parsed p = parse(OPEN " xmp:Rating='6' exif:GPSLatitude='95,0N'"
				     " exif:GPSLongitude='10,0E' dc:description='   '>" CLOSE);
	assert_int_equal(p.r, 0);
	assert_false(p.car.has_rating);
	assert_false(p.car.has_place);
	assert_null(p.car.description);
	ur_arena_done(&p.arena);

	p = parse(OPEN " exif:GPSLatitude='0,0N' exif:GPSLongitude='0,0E'>" CLOSE);
	assert_false(p.car.has_place);
	ur_arena_done(&p.arena);

	p = parse(OPEN " exif:GPSLatitude='48,1N'>" CLOSE);
	assert_false(p.car.has_place);
	ur_arena_done(&p.arena);
}

static void a_file_in_utf16_is_read(void **state)
{
	(void)state;
	const char *text = OPEN " xmp:Rating='3'>" CLOSE;
	const size_t size = strlen(text);
	char *wide = calloc(size + 1, 2);
	assert_non_null(wide);
	memcpy(wide, "\xff\xfe", 2);
	for (size_t i = 0; i < size; i++) {
		wide[2 + 2 * i] = text[i];
	}
	struct parsed p = {0};
	ur_arena_init(&p.arena);
	assert_int_equal(ur_sidecar_parse(&p.arena, wide, 2 * size + 2, &p.car, &p.err), 0);
	assert_int_equal(p.car.rating, 3);
	ur_arena_done(&p.arena);
	free(wide);
}

static void assert_refused(const char *text, const char *words)
{
	struct parsed p = parse(text);
	assert_int_equal(p.r, -EINVAL);
	assert_int_equal(p.err.fault, UR_FAULT_FILE);
	assert_non_null(strstr(p.err.text, words));
	assert_null(p.car.tags); // outputs are written on success only
	ur_arena_done(&p.arena);
}

static void what_is_not_xmp_is_refused_with_a_line(void **state)
{
	(void)state;
	assert_refused("", "not well-formed");
	assert_refused("\n\nhello", "line 3");
	assert_refused("<a>\n<b></a>", "line 2");
	assert_refused("<html><body/></html>", "not XMP");
	assert_refused(OPEN ">", "not well-formed");
}

static void a_document_type_is_refused_before_it_can_define_anything(void **state)
{
	(void)state;
	assert_refused("<!DOCTYPE a [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]>\n<a>&b;</a>",
		"document type");
	assert_refused("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "document type");
}

/** front, then open and a number and shut again and again, then back. */
static char *repeat(
	const char *front, const char *open, const char *shut, size_t times, const char *back)
{
	struct ur_text text = {0};
	ur_text_adds(&text, front);
	for (size_t i = 0; i < times; i++) {
		ur_text_addf(&text, "%s%zu%s", open, i, shut);
	}
	ur_text_adds(&text, back);
	assert_true(ur_text_ok(&text));
	return text.bytes;
}

static void limits_are_limits(void **state)
{
	(void)state;
	const char *bag = OPEN "><dc:subject><rdf:Bag>";
	const char *back = "</rdf:Bag></dc:subject>" CLOSE;
	char *full = repeat(bag, "<rdf:li>t", "</rdf:li>", UR_SIDECAR_TAGS_MAX, back);
	struct parsed p = parse(full);
	assert_int_equal(p.r, 0);
	assert_int_equal(p.car.tag_count, UR_SIDECAR_TAGS_MAX);
	ur_arena_done(&p.arena);
	free(full);

	char *many = repeat(bag, "<rdf:li>t", "</rdf:li>", UR_SIDECAR_TAGS_MAX + 1, back);
	assert_refused(many, "more tags");
	free(many);
	char *deep = repeat("", "<a", ">", 100, "");
	assert_refused(deep, "nested too deeply");
	free(deep);
	char *value = repeat(
		OPEN "><dc:description>", "0123456789", "", 20000, "</dc:description>" CLOSE);
	assert_refused(value, "too long");
	free(value);

	char *large = calloc(1, UR_SIDECAR_MAX + 1);
	assert_non_null(large);
	struct ur_err err = {0};
	assert_int_equal(
		ur_sidecar_parse(&p.arena, large, UR_SIDECAR_MAX + 1, &p.car, &err), -EFBIG);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(properties_count_as_attributes),
		cmocka_unit_test(properties_count_as_elements),
		cmocka_unit_test(the_moment_of_exposure_wins_over_other_dates),
		cmocka_unit_test(no_tag_comes_twice_and_hierarchies_win_over_their_words),
		cmocka_unit_test(properties_of_inner_structures_are_not_the_pictures),
		cmocka_unit_test(nonsense_values_are_as_if_absent),
		cmocka_unit_test(a_file_in_utf16_is_read),
		cmocka_unit_test(what_is_not_xmp_is_refused_with_a_line),
		cmocka_unit_test(a_document_type_is_refused_before_it_can_define_anything),
		cmocka_unit_test(limits_are_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
