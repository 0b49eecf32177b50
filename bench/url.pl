#!/usr/bin/perl

# Row 5, the baseline: url.c as one would write it in Perl, with the same
# rules for goto_uri. /dev/urandom is opened once and read without a buffer.
use strict;
use warnings;
use FindBin qw($Bin);
use lib $Bin;
use MIME::Base64 ();
use Worker       ();

my $GOTO_URI = '/frontend/paper_lantern/mail/pops.html?domain=a b.example#top';

open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!\n";

sub random_bytes {
    my ($count) = @_;
    ( sysread( $random, my $bytes, $count ) // 0 ) == $count
        or die "/dev/urandom: $!\n";
    return $bytes;
}

# Ten uniform digits: the last, incomplete range is drawn again.
sub token {
    my $number;
    do { $number = unpack 'Q', random_bytes(8) } while $number >= 18_446_744_070_000_000_000;
    return sprintf '/cpsess%010d', $number % 10_000_000_000;
}

sub ticket {
    my $text = MIME::Base64::encode_base64( random_bytes(32), '' );
    $text =~ tr{+/=}{-_}d;
    return "lmt_$text";
}

sub decoded {
    my ($text) = @_;
    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return $text;
}

# The canonical form, or nothing: the rules of lmi_uri_read().
sub goto_uri {
    my ($text) = @_;
    return if ref $text;
    my $uri = $text // '';
    utf8::encode($uri) if utf8::is_utf8($uri);
    $uri =~ s/\A&goto_uri=//;
    $uri =~ s{\A/?json-api/dummy(?=[/?#]|\z)}{};
    return if $uri =~ m{\A[A-Za-z0-9+.-]+:};
    $uri = "/$uri" if $uri !~ m{\A/};
    $uri =~ s/%(?![0-9A-Fa-f]{2})/%25/g;
    $uri =~ s/([ "<>^`{|}\x80-\xFF])/sprintf '%%%02X', ord $1/ge;
    return if length $uri > 2048 || decoded($uri) =~ /[\x00-\x1F\x7F\\]/;
    my ( $path, $query ) = $uri =~ m{\A([^?#]*)(?:\?([^#]*))?};
    my $plain = decoded($path);
    return if $plain =~ m{\A//} || $plain =~ m{(?:\A|/)\.\.?(?:/|\z)};

    for my $pair ( split /[&;]/, $query // '' ) {
        my ($name) = split /=/, $pair, 2;
        return if defined $name && decoded($name) eq 'session';
    }
    return $uri;
}

sub url {
    my ( $hostname, $port, $wish ) = @_;
    my $uri = goto_uri($wish) // die "bench: the goto_uri is refused\n";
    my ( $rest, $fragment ) = split /(?=#)/, $uri, 2;
    my $joint = $rest =~ /\?/ ? '&' : '?';
    return
          "https://$hostname:$port"
        . token()
        . $rest
        . $joint
        . 'session='
        . ticket()
        . ( $fragment // '' );
}

Worker::serve( 5_000, sub { url( 'host.example', 2083, $GOTO_URI ) for 1 .. $_[0] } );
