package Gateway;

use strict;
use warnings;
use Exporter qw(import);
use Test::More;

our @EXPORT_OK = qw(answer_of ask cookie_of env_of gateway header_of panel);

plan skip_all => 'Plack, HTML::Template or URI::Escape is not installed'
    if !eval { require HTML::Template; require Plack; require URI::Escape; 1 };
require Plack::Middleware::LogMeIn;

my %PORT = ( cpanel => 2083, whm => 2087, webmail => 2096 );

# An app behind the gateway, which reports its environment.
sub panel {
    my ($env) = @_;
    my $body = do { local $/ = undef; readline $env->{'psgi.input'} };
    return [
        200,
        [ 'Content-Type' => 'text/html' ],
        [
            join '|',
            'PANEL',
            map { $_ // 'undef' }
                @{$env}{qw(REQUEST_METHOD REMOTE_USER logmein.service SCRIPT_NAME PATH_INFO)},
            length $body
        ]
    ];
}

sub gateway {
    my (%options) = @_;
    return Plack::Middleware::LogMeIn->wrap( \&panel, %options );
}

# The environment of a request, by TLS at a service's port; %more are variables of
# the environment. The body of a form makes it a POST.
sub env_of {
    my ( $target, %more ) = @_;
    my $body   = delete $more{form} // q{};
    my $port   = $PORT{ delete $more{service} // 'cpanel' };
    my ($path) = split /[?]/, $target, 2;
    open my $input, '<', \$body or die "memory: $!";
    return {
        REQUEST_METHOD       => length $body ? 'POST' : 'GET',
        REQUEST_URI          => $target,
        SCRIPT_NAME          => q{},
        PATH_INFO            => ( $path // q{} ) =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger,
        QUERY_STRING         => $target          =~ /[?](.*)/s ? $1 : q{},
        SERVER_NAME          => 'host.example',
        SERVER_PORT          => $port,
        HTTP_HOST            => "host.example:$port",
        REMOTE_ADDR          => '192.0.2.7',
        HTTP_USER_AGENT      => 'Browser/1.0',
        HTTP_ACCEPT_ENCODING => 'gzip, deflate, br',
        'psgi.url_scheme'    => 'https',
        'psgi.input'         => $input,
        'psgi.errors'        => \*STDERR,
        (
            length $body
            ? (
                CONTENT_LENGTH => length $body,
                CONTENT_TYPE   => 'application/x-www-form-urlencoded'
                )
            : ()
        ),
        %more,
    };
}

sub ask {
    my ( $app, @request ) = @_;
    return answer_of( $app->( env_of(@request) ) );
}

sub answer_of {
    my ($answer) = @_;
    return { status => $answer->[0], headers => $answer->[1], body => join q{}, @{ $answer->[2] } };
}

# All values of a header; in scalar context the first one.
sub header_of {
    my ( $answer, $name ) = @_;
    my @headers = @{ $answer->{headers} };
    my @values;
    while ( my ( $key, $value ) = splice @headers, 0, 2 ) {
        push @values, $value if lc $key eq lc $name;
    }
    return wantarray ? @values : $values[0];
}

# What a client with a cookie jar sends back: NAME=VALUE of the first cookie.
sub cookie_of {
    my ($answer) = @_;
    my ($cookie) = ( header_of( $answer, 'Set-Cookie' ) // q{} ) =~ /\A([^;]*)/;
    return $cookie;
}

1;
