/* kind - what bytes are, what the server would say, and what a name becomes. */
#include "engine/media/kind.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIND_OF(bytes) ur_kind_of(bytes, sizeof(bytes) - 1)
#define IS(bytes, kind) assert_string_equal(KIND_OF(bytes)->name, kind)

static struct ur_types *usual_types(void)
{
	struct ur_types *types = NULL;
	assert_int_equal(ur_types_new(&types), 0);
	assert_int_equal(ur_types_add_usual(types), 0);
	return types;
}

static void content_tells_pictures_apart(void **state)
{
	(void)state;
	IS("\xff\xd8\xff\xe0\0\x10JFIF", "jpeg");
	IS("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "png");
	IS("GIF89a\1\0\1\0", "gif");
	IS("RIFF\x10\0\0\0WEBPVP8 ", "webp");
	IS("8BPS\0\1\0\0\0\0\0\0\0\3", "psd");
	IS("\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14", "jxl");
	IS("\xff\x0a\xba\x21", "jxl");
	IS("\0\0\0\x0cjP  \r\n\x87\n", "jp2");
	IS("FUJIFILMCCD-RAW 0201", "raf");
	IS("II\x1a\0\0\0HEAPCCDR", "crw");
	IS("IIRO\x08\0\0\0", "orf");
	IS("IIU\0\x18\0\0\0", "rw2");
	IS("FOVb\0\0\2\0", "x3f");
	IS("\0MRM\0\0\0\0", "mrw");
	IS("II*\0\x10\0\0\0CR\x02\0", "cr2");
	IS("MM\0*\0\0\0\x08\0\0", "tiff");
	IS("BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\1\0", "bmp");
	IS("<?xml version=\"1.0\"?>\n<!-- a --><svg xmlns=\"http://www.w3.org/2000/svg\"/>", "svg");
}

static void the_brand_of_boxes_decides(void **state)
{
	(void)state;
	IS("\0\0\0\x18"
	   "ftypheic\0\0\0\0mif1heic",
		"heic");
	IS("\0\0\0\x18"
	   "ftypmif1\0\0\0\0mif1avif",
		"avif");
	IS("\0\0\0\x18"
	   "ftypmif1\0\0\0\0mif1miaf",
		"heif");
	IS("\0\0\0\x14"
	   "ftypavif\0\0\0\0mif1",
		"avif");
	IS("\0\0\0\x18"
	   "ftypcrx \0\0\0\1crx isom",
		"cr3");
	IS("\0\0\0\x14"
	   "ftypqt  \0\0\0\0qt  ",
		"mov");
	IS("\0\0\0\x18"
	   "ftypmp42\0\0\0\0isommp42",
		"mp4");
	IS("\0\0\0\x18"
	   "ftypneverseenmp42",
		"mp4");
	IS("\0\0\0\x18"
	   "ftyp3gp4\0\0\0\0isom3gp4",
		"3gp");
	IS("\0\0\0\x18"
	   "ftypM4A \0\0\0\0M4A mp42",
		"m4a");
	IS("\0\0\x02\x16moov\0\0\0\x6cmvhd", "mov");
}

static void streams_are_known_by_their_rhythm(void **state)
{
	(void)state;
	unsigned char ts[UR_KIND_HEAD] = {0};
	unsigned char m2ts[UR_KIND_HEAD] = {0};
	for (size_t i = 0; i < sizeof ts; i += 188) {
		ts[i] = 0x47;
	}
	for (size_t i = 4; i < sizeof m2ts; i += 192) {
		m2ts[i] = 0x47;
	}
	assert_string_equal(ur_kind_of(ts, sizeof ts)->name, "mpegts");
	assert_string_equal(ur_kind_of(m2ts, sizeof m2ts)->name, "mpegts");
	ts[188 * 5] = 0x48; // one beat missing
	assert_string_equal(ur_kind_of(ts, sizeof ts)->name, "unknown");

	IS("\0\0\x01\xba\x44\0\4\0", "mpeg");
	IS("\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm", "webm");
	IS("\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska", "mkv");
	IS("RIFF\x10\0\0\0AVI LIST", "avi");
	IS("\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "wmv");
	IS("FLV\x01\x05\0\0\0\x09", "flv");
	IS("\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01", "mxf");
}

/** A little-endian TIFF with one directory: NewSubfileType 1, a maker, and one tag more. */
static const char *tiff_by(const char *make, unsigned extra_tag)
{
	static unsigned char bytes[128];
	unsigned char *at = bytes;
	memset(bytes, 0, sizeof bytes);
	memcpy(at, "II*\0\x08\0\0\0\x03\0", 10);
	memcpy(at + 10, "\xfe\0\x04\0\x01\0\0\0\x01\0\0\0", 12);
	memcpy(at + 22, "\x0f\x01\x02\0\x10\0\0\0\x40\0\0\0", 12);
	memcpy(at + 34, "\0\0\x01\0\x04\0\0\0\x01\x04\0\0", 12);
	at[34] = (unsigned char)extra_tag;
	at[35] = (unsigned char)(extra_tag >> 8);
	memcpy(at + 64, make, strlen(make));
	return ur_kind_of(bytes, sizeof bytes)->name;
}

static void raw_pictures_in_tiff_are_known_by_their_maker(void **state)
{
	(void)state;
	assert_string_equal(tiff_by("NIKON CORPORATION", 0x0100), "nef");
	assert_string_equal(tiff_by("SONY", 0x0100), "arw");
	assert_string_equal(tiff_by("SONY", 0xc612), "dng");
	assert_string_equal(tiff_by("A SCANNER", 0x0100), "tiff");
}

static void impostors_are_known(void **state)
{
	(void)state;
	static const unsigned char zeros[UR_KIND_HEAD];
	assert_string_equal(ur_kind_of(zeros, sizeof zeros)->name, "zeros");
	assert_string_equal(ur_kind_of("", 0)->name, "empty");
	IS("<!DOCTYPE HTML PUBLIC><html>", "html");
	IS("\n\n  <html><body>404</body></html>", "html");
	IS("%PDF-1.7\n", "pdf");
	IS("PK\x03\x04\x14\0", "zip");
	IS("{\"message\":\"not found\"}", "json");
	IS("Dear diary, na\xc3\xafve as I was", "text");
	IS("#!/bin/sh\nexit 0\n", "script");
	IS("\x7f"
	   "ELF\2\1\1",
		"elf");
	IS("<?xpacket begin=''?><x:xmpmeta xmlns:x='adobe:ns:meta/'>", "xmp");
	IS("\xff\xfe<\0r\0d\0f\0:\0R\0D\0F\0>\0", "xmp");
	IS("\x9b\x01\x02\x03\x04\x05\x06\x07", "unknown");
	assert_true(ur_kind_is_unknown(KIND_OF("\x9b\x01\x02\x03")));
	assert_false(ur_kind_is_unknown(KIND_OF("%PDF-1.7")));
}

static void any_beginning_of_any_kind_is_safe_to_look_at(void **state)
{
	(void)state;
	static const char *const heads[] = {
		("\0\0\0\x18"
		 "ftypmif1\0\0\0\0heic"),
		"II*\0\x08\0\0\0\xff\xff\xfe\0\4\0\1\0\0\0\1",
		"RIFF\xff\xff\xff\xffWEBPVP8 ",
		"\xff\xfe<\0s\0v\0g\0 \0x\0m\0l\0",
		"\xef\xbb\xbf<svg \xc3\xa4\xc3\xa4\xc3\xa4\xf0\x9f",
		"MZ456789012345678901",
	};
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		for (size_t size = 1; size <= 16; size++) {
			/* A copy of exactly that size, so that ASan sees one byte too many. */
			char *copy = malloc(size);
			assert_non_null(copy);
			memcpy(copy, heads[i], size);
			const struct ur_kind *kind = ur_kind_of(copy, size);
			assert_non_null(kind);
			assert_false(
				ur_kind_cut_short(kind, copy, size, copy, size, size) && size < 12);
			free(copy);
		}
	}
}

static void libmagic_knows_what_the_table_does_not(void **state)
{
	(void)state;
	struct ur_magic *magic = NULL;
	struct ur_err err = {0};
	assert_int_equal(ur_magic_new(&magic, &err), 0);
	const char latin1[] = "Ein Satz auf Deutsch, gr\xfc\xdf"
			      "e, in alter Kodierung.\n";
	assert_true(ur_kind_is_unknown(KIND_OF(latin1)));
	assert_string_equal(ur_magic_kind(magic, latin1, sizeof latin1 - 1)->name, "text");
	assert_string_equal(ur_magic_kind(magic, "\x9b\1\2\3\4\5\6\7", 8)->name, "unknown");
	assert_string_equal(ur_magic_kind(magic, "", 0)->name, "empty");
	assert_null(ur_magic_free(magic));
}

static void extensions_are_found_in_any_case_with_or_without_dot(void **state)
{
	(void)state;
	struct ur_types *types = NULL;
	assert_int_equal(ur_types_new(&types), 0);
	assert_int_equal(ur_types_add(types, UR_CLASS_IMAGE, ".JPG"), 0);
	assert_int_equal(ur_types_add(types, UR_CLASS_VIDEO, "mp4"), 0);
	assert_int_equal(ur_types_add(types, UR_CLASS_VIDEO, "abc"), 0);

	assert_int_equal(ur_types_class(types, "a.jpg"), UR_CLASS_IMAGE);
	assert_int_equal(ur_types_class(types, "a.b.JpG"), UR_CLASS_IMAGE);
	assert_int_equal(ur_types_class(types, ".jpg"), UR_CLASS_IMAGE);
	assert_int_equal(ur_types_class(types, "PXL_1.MP"), UR_CLASS_VIDEO);
	assert_int_equal(ur_types_class(types, "a.abc"), UR_CLASS_VIDEO);
	assert_int_equal(ur_types_class(types, "a.png"), UR_CLASS_NONE);
	assert_int_equal(ur_types_class(types, "jpg"), UR_CLASS_NONE);
	assert_int_equal(ur_types_class(types, "a."), UR_CLASS_NONE);

	assert_int_equal(ur_types_add(types, UR_CLASS_VIDEO, "jpg"), 0);
	assert_int_equal(ur_types_class(types, "a.jpg"), UR_CLASS_VIDEO);
	assert_int_equal(ur_types_add(types, UR_CLASS_IMAGE, ""), -EINVAL);
	assert_int_equal(ur_types_add(types, UR_CLASS_IMAGE, "a/b"), -EINVAL);
	assert_int_equal(ur_types_add(types, UR_CLASS_IMAGE, "muchmuchtoolong.."), -EINVAL);
	types = ur_types_free(types);
	assert_null(types);
}

static void a_list_of_types_has_an_end(void **state)
{
	(void)state;
	struct ur_types *types = NULL;
	assert_int_equal(ur_types_new(&types), 0);
	for (unsigned i = 0; i < UR_TYPES_MAX; i++) {
		char extension[UR_TYPES_NAME];
		(void)snprintf(extension, sizeof extension, "x%u", (i * 7919) % UR_TYPES_MAX);
		assert_int_equal(ur_types_add(types, UR_CLASS_IMAGE, extension), 0);
	}
	assert_int_equal(ur_types_add(types, UR_CLASS_IMAGE, "more"), -ENOSPC);
	assert_int_equal(ur_types_class(types, "a.x0"), UR_CLASS_IMAGE);
	assert_int_equal(ur_types_class(types, "a.X1023"), UR_CLASS_IMAGE);
	ur_types_free(types);
}

static void the_usual_list_is_the_servers(void **state)
{
	(void)state;
	static const char *const all[] = {
		"3gp 3gpp avi flv insv m2t m2ts m4v mkv mov mp4 mpe mpeg mpg mts mxf ts vob webm wmv ",
		"3fr ari arw avif bmp cap cin cr2 cr3 crw dcr dng erf fff gif heic heif hif iiq insp "
		"jp2 jpe jpeg jpg jxl k25 kdc mrw nef nrw orf ori pef png psd raf raw rw2 rwl sr2 srf "
		"srw svg tif tiff webp x3f ",
		"xmp ",
	};
	static const enum ur_class classes[] = {UR_CLASS_VIDEO, UR_CLASS_IMAGE, UR_CLASS_SIDECAR};
	struct ur_types *types = usual_types();
	for (size_t i = 0; i < 3; i++) {
		for (const char *at = all[i]; *at != '\0'; at += strcspn(at, " ") + 1) {
			char name[16] = "a.";
			strncat(name, at, strcspn(at, " "));
			assert_int_equal(ur_types_class(types, name), classes[i]);
			assert_true(ur_kind_usual_extension(at, strcspn(at, " ")));
		}
	}
	assert_false(ur_kind_usual_extension("pdf", 3));
	assert_false(ur_kind_usual_extension("", 0));
	ur_types_free(types);
}

struct judged {
	enum ur_judgement judgement;
	char why[UR_KIND_WHY];
};

static struct judged judge(const char *name, const char *head, size_t size, bool cut)
{
	struct ur_types *types = usual_types();
	struct judged judged;
	judged.judgement = ur_kind_judge(
		types, name, ur_kind_of(head, size), size, cut, judged.why, sizeof judged.why);
	ur_types_free(types);
	return judged;
}

#define JUDGE(name, bytes) judge(name, bytes, sizeof(bytes) - 1, false)
#define JPEG "\xff\xd8\xff\xe0\0\x10JFIF"
#define PNG "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"

static void pictures_under_their_names_are_taken(void **state)
{
	(void)state;
	const struct judged taken[] = {JUDGE("a.jpg", JPEG), JUDGE("a.JPE", JPEG),
		JUDGE("a.insp", JPEG), JUDGE("a.tif", "II*\0\x08\0\0\0"),
		JUDGE("a.nef", "MM\0*\0\0\0\x08"), JUDGE("a.raw", "\x9b\1\2\3\4"),
		JUDGE("a.arw", "\x9b\1\2\3\4"),
		JUDGE("a.mov", "\0\0\0\x10"
			       "ftypmp42\0\0\0\0"),
		JUDGE("b.xmp", "<x:xmpmeta>"),
		JUDGE("a.svg", "<?xml version='1.0'?><!-- long -->")};
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
		assert_int_equal(taken[i].judgement, UR_JUDGE_TAKE);
		assert_string_equal(taken[i].why, "");
	}
}

static void a_name_that_lies_about_the_picture_is_a_warning(void **state)
{
	(void)state;
	const struct judged judged = JUDGE("a.png", JPEG);
	assert_int_equal(judged.judgement, UR_JUDGE_WARN);
	assert_string_equal(judged.why, "named '.png', but the content is a JPEG picture ('.jpg')");
	assert_int_equal(JUDGE("a.mp4", JPEG).judgement, UR_JUDGE_WARN);
	assert_int_equal(JUDGE("a.heic", JPEG).judgement, UR_JUDGE_WARN);
}

static void what_is_no_picture_is_refused_whatever_its_name(void **state)
{
	(void)state;
	static const char zeros[4096];
	const struct judged page = JUDGE("a.jpg", "<!doctype html><html>");
	assert_int_equal(page.judgement, UR_JUDGE_REFUSE);
	assert_string_equal(
		page.why, "named '.jpg', but the content is a web page (HTML) and no picture");
	assert_int_equal(judge("a.heic", zeros, 4096, false).judgement, UR_JUDGE_REFUSE);
	assert_int_equal(JUDGE("a.mp4", "%PDF-1.4").judgement, UR_JUDGE_REFUSE);
	assert_int_equal(JUDGE("a.jpg", "PK\x03\x04").judgement, UR_JUDGE_REFUSE);
	assert_int_equal(JUDGE("a.jpg", "<x:xmpmeta>").judgement, UR_JUDGE_REFUSE);
	assert_int_equal(JUDGE("a.xmp", "<html>").judgement, UR_JUDGE_REFUSE);
	assert_int_equal(JUDGE("a.xmp", JPEG).judgement, UR_JUDGE_REFUSE);
}

static void an_empty_file_is_refused(void **state)
{
	(void)state;
	const struct judged judged = JUDGE("a.jpg", "");
	assert_int_equal(judged.judgement, UR_JUDGE_REFUSE);
	assert_string_equal(judged.why, "the file is empty");
}

static void an_unknown_extension_is_refused_with_advice_where_there_is_some(void **state)
{
	(void)state;
	const struct judged text = JUDGE("notes.txt", "hello");
	const struct judged picture = JUDGE("scan.jfif", JPEG);
	const struct judged bare = JUDGE("IMG_0001", PNG);
	const struct judged evil = JUDGE("a.\x1b[2J", JPEG);
	assert_int_equal(text.judgement, UR_JUDGE_REFUSE);
	assert_string_equal(text.why, "the server does not take '.txt' files");
	assert_int_equal(picture.judgement, UR_JUDGE_REFUSE);
	assert_string_equal(picture.why, "the server does not take '.jfif' files; the content is a "
					 "JPEG picture, so let its name end in '.jpg'");
	assert_int_equal(bare.judgement, UR_JUDGE_REFUSE);
	assert_non_null(strstr(bare.why, "so let its name end in '.png'"));
	assert_int_equal(evil.judgement, UR_JUDGE_REFUSE);
	assert_null(strchr(evil.why, '\x1b'));
}

static void a_cut_picture_is_a_warning(void **state)
{
	(void)state;
	const struct judged judged = judge("a.jpg", JPEG, sizeof JPEG - 1, true);
	assert_int_equal(judged.judgement, UR_JUDGE_WARN);
	assert_non_null(strstr(judged.why, "ends too early"));
}

static bool cut(const unsigned char *bytes, size_t size)
{
	const size_t head = size < UR_KIND_HEAD ? size : UR_KIND_HEAD;
	const size_t tail = size < UR_KIND_TAIL ? size : UR_KIND_TAIL;
	return ur_kind_cut_short(
		ur_kind_of(bytes, head), bytes, head, bytes + size - tail, tail, size);
}

static void a_jpeg_is_whole_only_with_its_own_end_marker(void **state)
{
	(void)state;
	/* The thumbnail inside the first segment has an end marker too. */
	static const unsigned char jpeg[] =
		"\xff\xd8\xff\xe1\0\x08\xff\xd8\xff\xd9\0\0"
		"\xff\xda\0\x03\x01\x11\x22\xff\0\x33\xff\xd0\x44\xff\xd9";
	const size_t size = sizeof jpeg - 1;
	assert_false(cut(jpeg, size));
	for (size_t shorter = 12; shorter < size; shorter++) {
		assert_true(cut(jpeg, shorter));
	}
	unsigned char longer[sizeof jpeg + 100] = {0}; // padding behind the end
	memcpy(longer, jpeg, size);
	assert_false(cut(longer, sizeof longer));
}

static void a_large_jpeg_is_cut_only_when_its_tail_is_inside_a_scan(void **state)
{
	(void)state;
	const size_t size = 3 * UR_KIND_TAIL;
	unsigned char *jpeg = malloc(size);
	assert_non_null(jpeg);
	for (size_t i = 0; i < size; i++) {
		jpeg[i] = i % 251 == 0 ? 0xff : i % 251 == 1 ? 0 : (unsigned char)(i % 250);
	}
	memcpy(jpeg, "\xff\xd8\xff\xda\0\x03\x01", 7);
	assert_true(cut(jpeg, size));

	memcpy(jpeg + size - 2, "\xff\xd9", 2);
	assert_false(cut(jpeg, size));

	/* A movie behind the picture: unescaped bytes show that this is no scan. */
	memcpy(jpeg + size - 2, "\x12\x34", 2);
	jpeg[size - 5000] = 0xff;
	jpeg[size - 4999] = 0x42;
	assert_false(cut(jpeg, size));

	memset(jpeg + size - UR_KIND_TAIL, 0, UR_KIND_TAIL);
	assert_false(cut(jpeg, size));
	free(jpeg);
}

static void other_formats_say_where_they_end(void **state)
{
	(void)state;
	static const unsigned char png[] = "\x89PNG\r\n\x1a\n\0\0\0\0IEND\xae\x42\x60\x82";
	assert_false(cut(png, sizeof png - 1));
	assert_true(cut(png, sizeof png - 2));

	static const unsigned char webp[] = "RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0";
	assert_false(cut(webp, 20));
	assert_true(cut(webp, 17));
	static const unsigned char unfinished[] = "RIFF\xff\xff\xff\xff"
						  "AVI LIST";
	assert_false(cut(unfinished, 16));

	static const unsigned char mp4[] = "\0\0\0\x10"
					   "ftypisom\0\0\0\0"
					   "\0\0\0\x14mdat0123456789ab";
	assert_false(cut(mp4, 36));
	assert_true(cut(mp4, 35));
	static const unsigned char open_end[] = "\0\0\0\x10"
						"ftypisom\0\0\0\0"
						"\0\0\0\0mdat0123456789ab";
	assert_false(cut(open_end, 35));
	static const unsigned char far[] = "\0\0\0\x10"
					   "ftypisom\0\0\0\0"
					   "\0\0\0\1mdat\0\0\1\0\0\0\0\0";
	assert_true(cut(far, 32));
}

static void assert_name(const char *name, const char *wanted)
{
	char got[64];
	bool changed = false;
	assert_true(ur_kind_upload_name(name, got, sizeof got, &changed));
	assert_string_equal(got, wanted);
	assert_int_equal(changed, strcmp(name, wanted) != 0);
}

static void names_are_sent_as_the_server_can_keep_them(void **state)
{
	(void)state;
	assert_name("IMG_1.jpg", "IMG_1.jpg");
	assert_name("na\xc3\xafve \xf0\x9f\x98\x80.jpg", "na\xc3\xafve \xf0\x9f\x98\x80.jpg");
	assert_name("PXL_1.MP", "PXL_1.MP.MP4");
	assert_name("PXL_1.mp", "PXL_1.mp.MP4");
	assert_name(".jpg", "unnamed.jpg");
	assert_name("", "unnamed");
	assert_name("..jpg", "..jpg");
	assert_name("gr\xfc\xdf.jpg", "gr\xef\xbf\xbd\xef\xbf\xbd.jpg");
	assert_name("a\nb\x1b[2J\x7f.jpg", "a\nb\x1b[2J\x7f.jpg");
	assert_name("a\\b.jpg", "a\\b.jpg");
	assert_name("a\"b.jpg", "a\"b.jpg");
}

static void a_name_without_room_is_not_written(void **state)
{
	(void)state;
	char got[9] = "before";
	bool changed = false;
	assert_false(ur_kind_upload_name("12345.jpg", got, sizeof got, &changed));
	assert_string_equal(got, "before");
	assert_true(ur_kind_upload_name("1234.jpg", got, sizeof got, &changed));
	assert_string_equal(got, "1234.jpg");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_tells_pictures_apart),
		cmocka_unit_test(the_brand_of_boxes_decides),
		cmocka_unit_test(streams_are_known_by_their_rhythm),
		cmocka_unit_test(raw_pictures_in_tiff_are_known_by_their_maker),
		cmocka_unit_test(impostors_are_known),
		cmocka_unit_test(any_beginning_of_any_kind_is_safe_to_look_at),
		cmocka_unit_test(libmagic_knows_what_the_table_does_not),
		cmocka_unit_test(extensions_are_found_in_any_case_with_or_without_dot),
		cmocka_unit_test(a_list_of_types_has_an_end),
		cmocka_unit_test(the_usual_list_is_the_servers),
		cmocka_unit_test(pictures_under_their_names_are_taken),
		cmocka_unit_test(a_name_that_lies_about_the_picture_is_a_warning),
		cmocka_unit_test(what_is_no_picture_is_refused_whatever_its_name),
		cmocka_unit_test(an_empty_file_is_refused),
		cmocka_unit_test(an_unknown_extension_is_refused_with_advice_where_there_is_some),
		cmocka_unit_test(a_cut_picture_is_a_warning),
		cmocka_unit_test(a_jpeg_is_whole_only_with_its_own_end_marker),
		cmocka_unit_test(a_large_jpeg_is_cut_only_when_its_tail_is_inside_a_scan),
		cmocka_unit_test(other_formats_say_where_they_end),
		cmocka_unit_test(names_are_sent_as_the_server_can_keep_them),
		cmocka_unit_test(a_name_without_room_is_not_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
