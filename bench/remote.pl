#!/usr/bin/perl

# Row 9: a login at another server, as ours, and as a script without us does it:
# Net::SSLeay::post_https, which verifies nothing, and a look at the answer.
#
#     remote.pl ours|plain PORT [once]
#
# Without "once" it is a worker. LOGMEIN_CONF is set for ours.
use strict;
use warnings;

my ( $who, $port, $once ) = @ARGV;

sub ours {
    my ($ok) = Cpanel::LogMeIn::get_loggedin_url(
        user     => 'alice',
        pass     => 'secret',
        hostname => 'localhost',
        service  => 'cpanel',
        goto_uri => '/',
    );
    die "bench: no login\n" if !$ok;
    return;
}

sub plain {
    my ( $page, $response, %headers ) = Net::SSLeay::post_https(
        'localhost',
        $port,
        '/login/?login_only=1',
        q{},
        Net::SSLeay::make_form(
            user                   => 'alice',
            pass                   => 'secret',
            goto_uri               => q{/},
            active_token_for_reuse => 0,
        )
    );
    my $answer = JSON::PP::decode_json($page);
    my ($value) = $headers{'SET-COOKIE'} =~ /\Acpsession=([^;]+)/;
    die "bench: $response\n" if !$answer->{status} || !$value;
    return "https://localhost:$port$answer->{security_token}/login/?session=$value";
}

my $log_in = $who eq 'ours' ? \&ours : \&plain;
require Cpanel::LogMeIn if $who eq 'ours';
if ( $who ne 'ours' ) { require Net::SSLeay; require JSON::PP }
if ($once)            { $log_in->();         exit 0 }

require "$ENV{BENCH_FOLDER}/Worker.pm";    ## no critic (RequireBarewordIncludes)
Worker::serve( 50, sub { $log_in->() for 1 .. $_[0] } );
