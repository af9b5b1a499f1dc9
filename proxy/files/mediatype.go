package files

import "strings"

// mediaType is the type of the files with one ending.
type mediaType struct {
	mediaType    string
	compressible bool // a compressed form may be beside the file
}

// unknownType is the type of all other files.
var unknownType = mediaType{mediaType: "application/octet-stream"}

// typeOf returns the type of a file by the ending of its name. It does not use
// /etc/mime.types, so it is the same on every machine.
func typeOf(name string) mediaType {
	base := name[strings.LastIndexByte(name, '/')+1:]
	if base == "apple-app-site-association" {
		return mediaType{"application/json", true} // Apple requires this name without an ending
	}
	dot := strings.LastIndexByte(base, '.')
	if dot < 0 {
		return unknownType
	}
	return typeOfEnding(strings.ToLower(base[dot+1:]))
}

// typeOfEnding returns the type of files with an ending, which is given in
// lower case and without its dot.
func typeOfEnding(ending string) mediaType {
	for _, list := range []func(string) mediaType{textType, documentType, imageType, soundType} {
		if found := list(ending); found.mediaType != "" {
			return found
		}
	}
	return unknownType
}

func textType(ending string) mediaType {
	text := func(subtype string) mediaType {
		return mediaType{"text/" + subtype + "; charset=utf-8", true}
	}
	switch ending {
	case "html", "htm":
		return text("html")
	case "js", "mjs", "cjs":
		return text("javascript")
	case "css":
		return text("css")
	case "txt", "text", "log":
		return text("plain")
	case "md", "markdown":
		return text("markdown")
	case "csv":
		return text("csv")
	case "ics":
		return text("calendar")
	case "vtt":
		return text("vtt")
	case "vcf":
		return text("vcard")
	}
	return mediaType{}
}

func documentType(ending string) mediaType {
	switch ending {
	case "json", "map":
		return mediaType{"application/json", true}
	case "webmanifest":
		return mediaType{"application/manifest+json", true}
	case "geojson":
		return mediaType{"application/geo+json", true}
	case "jsonld":
		return mediaType{"application/ld+json", true}
	case "xml", "xsl", "xsd":
		return mediaType{"application/xml", true}
	case "rss":
		return mediaType{"application/rss+xml", true}
	case "atom":
		return mediaType{"application/atom+xml", true}
	case "xhtml":
		return mediaType{"application/xhtml+xml", true}
	case "yaml", "yml":
		return mediaType{"application/yaml", true}
	case "wasm":
		return mediaType{"application/wasm", true}
	case "pdf":
		return mediaType{"application/pdf", false}
	case "zip":
		return mediaType{"application/zip", false}
	case "gz", "tgz":
		return mediaType{"application/gzip", false}
	case "zst":
		return mediaType{"application/zstd", false}
	case "tar":
		return mediaType{"application/x-tar", false}
	}
	return mediaType{}
}

func imageType(ending string) mediaType {
	switch ending {
	case "svg":
		return mediaType{"image/svg+xml", true}
	case "ico":
		return mediaType{"image/vnd.microsoft.icon", true}
	case "bmp":
		return mediaType{"image/bmp", true}
	case "png", "apng", "gif", "webp", "avif":
		return mediaType{"image/" + ending, false}
	case "jpg", "jpeg":
		return mediaType{"image/jpeg", false}
	case "tif", "tiff":
		return mediaType{"image/tiff", false}
	case "ttf", "otf":
		return mediaType{"font/" + ending, true}
	case "woff", "woff2":
		return mediaType{"font/" + ending, false}
	case "eot":
		return mediaType{"application/vnd.ms-fontobject", true}
	}
	return mediaType{}
}

func soundType(ending string) mediaType {
	switch ending {
	case "mp4", "m4v":
		return mediaType{"video/mp4", false}
	case "webm":
		return mediaType{"video/webm", false}
	case "mov":
		return mediaType{"video/quicktime", false}
	case "mp3":
		return mediaType{"audio/mpeg", false}
	case "m4a":
		return mediaType{"audio/mp4", false}
	case "aac", "flac", "ogg", "opus":
		return mediaType{"audio/" + ending, false}
	case "wav":
		return mediaType{"audio/wav", false}
	case "m3u8":
		return mediaType{"application/vnd.apple.mpegurl", true}
	case "mpd":
		return mediaType{"application/dash+xml", true}
	case "ts":
		return mediaType{"video/mp2t", false}
	}
	return mediaType{}
}
