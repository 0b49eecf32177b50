package Plack::App::LogMeIn::Form;

use strict;
use warnings;
use Cpanel::LogMeIn       ();
use Exporter              qw(import);
use HTTP::MultiPartParser ();

our $VERSION   = '0.01';
our @EXPORT_OK = qw(urlencoded);

my $TOKEN     = qr/[A-Za-z0-9!#\$%&'*+.^_`|~-]+/;
my $PARAMETER = qr/;[ \t]*($TOKEN)=(?:"([^"]*)"|([^\s";,]+))[ \t]*/;

# The kind of a form: urlencoded, multipart or, if the content type is of no form,
# undef.
sub kind_of {
    my ($type) = @_;
    return 'urlencoded'
        if !length( $type // q{} ) || $type =~ m{\Aapplication/x-www-form-urlencoded\s*(?:;|\z)}i;
    return 'multipart' if $type =~ m{\Amultipart/form-data\s*;}i;
    return;
}

# The pairs of a body, in order; nothing if it is malformed.
sub pairs_of {
    my ( $type, $body ) = @_;
    return [ urlencoded($body) ] if kind_of($type) eq 'urlencoded';
    return eval { _multipart( $type, $body ) };
}

# The pairs of a form or a query. The only separator is "&", as in browsers: clients
# send raw semicolons in passwords.
sub urlencoded { my ($text) = @_; return _pairs($text) }

# Dies if the form is malformed. Files in it are ignored, and never written anywhere.
sub _multipart {
    my ( $type, $body ) = @_;
    my $boundary = _only( 'boundary', _parameters($type) );
    my ( @pairs, $pair );
    my $parser = HTTP::MultiPartParser->new(
        boundary  => $boundary,
        on_header => sub {
            $pair = _pair_of( $_[0] );
            push @pairs, $pair if $pair;
            return;
        },
        on_body => sub {
            $pair->[1] .= $_[0] if $pair;
            return;
        },
    );
    $parser->parse( $body =~ /\r\n\z/ ? $body : "$body\r\n" );    # not all clients send it
    $parser->finish;
    return \@pairs;
}

# The parameters of a header's value. Dies if there is anything else.
sub _parameters {
    my ($value) = @_;
    my ($list)  = $value =~ m{\A$TOKEN(?:/$TOKEN)?[ \t]*((?:$PARAMETER)*)\z} or die "malformed\n";
    my @parameters;
    push @parameters, [ $1, $2 // $3 ] while $list =~ /$PARAMETER/g;
    return @parameters;
}

# The parameter's only value.
sub _only {
    my ( $name, @parameters ) = @_;
    my @values = map { $_->[1] } grep { lc $_->[0] eq $name } @parameters;
    die "malformed\n" if @values != 1;
    return $values[0];
}

# A new pair for a part with these header lines; undef for a file.
sub _pair_of {
    my ($lines) = @_;
    my @values = map { /\AContent-Disposition:[ \t]*(.*?)[ \t]*\z/is ? $1 : () } @{$lines};
    die "malformed\n" if @values != 1 || $values[0] !~ /\Aform-data\b/i;
    my @parameters = _parameters( $values[0] );
    my $name       = _only( 'name', @parameters );
    return if grep { $_->[0] =~ /\Afilename[*]?\z/i } @parameters;
    return [ $name, q{} ];
}

1;

__END__

=head1 NAME

Plack::App::LogMeIn::Form - the forms that the gateway reads

=head1 DESCRIPTION

Internal to L<Plack::App::LogMeIn>: C<application/x-www-form-urlencoded> and
C<multipart/form-data>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
